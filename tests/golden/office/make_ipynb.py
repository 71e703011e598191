"""A notebook by nbformat, and one in the older format by hand.  Run in this folder; the files are committed.

    python3 make_ipynb.py               # pip install nbformat
"""
import json
import pathlib

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

book = new_notebook(cells=[
    new_markdown_cell("# Gauges\n\nPier 4 was flooded."),
    new_code_cell("a = [1, 2]\nsum(a)", execution_count=1, outputs=[
        new_output("stream", name="stdout", text="loading\n"),
        new_output("execute_result", execution_count=1, data={"text/plain": "3", "image/png": "iVBORw0KGgo="})]),
    new_code_cell(""),
    new_code_cell("1 / 0", outputs=[new_output("error", ename="ZeroDivisionError", evalue="division by zero",
                                              traceback=["long", "and coloured"])]),
])
for i, cell in enumerate(book.cells):
    cell["id"] = f"cell-{i}"
nbformat.write(book, "sample.ipynb")
old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": [
    {"cell_type": "heading", "level": 2, "source": ["Old ", "title"]},
    {"cell_type": "code", "language": "python", "input": ["print(4)"],
     "outputs": [{"output_type": "stream", "text": ["4\n"]}]},
]}]}
pathlib.Path("old.ipynb").write_text(json.dumps(old))
