"""Draw the results of deepseek_attention_bench as an SVG: processor time of a decoded token by the length of the context.

usage: deepseek_attention_figure.py results/deepseek-attention.csv > results/deepseek-attention.svg

Both axes are logarithmic; one panel a model and format, of the rows that decode one token at a time.
"""
import csv, math, sys

COLOURS = {"dense": "#777777", "CSA": "#c0392b", "HCA": "#2471a3"}
WIDTH, HEIGHT, LEFT, TOP, GAP = 250, 260, 70, 40, 30  # of a panel's axes, and around them
DECADES = (-1, 4)  # milliseconds
TICKS = {65536: "64K", 262144: "256K", 1048576: "1M"}


def read(path):
    """{(model, format): {layer: [(tokens, milliseconds)]}}"""
    panels = {}
    with open(path, newline="") as f:
        for row in csv.DictReader(f):
            if row["layer"] in COLOURS and row["rows"] == "1":
                layers = panels.setdefault((row["model"], row["format"]), {})
                point = int(row["tokens"]), float(row["cpu_milliseconds_per_row"])
                layers.setdefault(row["layer"], []).append(point)
    return panels


def at_x(tokens):
    return WIDTH * (math.log2(tokens) - 15.5) / 5


def at_y(ms):
    return HEIGHT * (DECADES[1] - math.log10(ms)) / (DECADES[1] - DECADES[0])


def number(ms):
    return f"{ms:,.0f}" if ms >= 100 else f"{ms:.1f}" if ms >= 10 else f"{ms:.2f}"


def text(x, y, words, anchor="middle", colour="#222222"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{words}</text>'


def line(x1, y1, x2, y2):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#dddddd"/>'


def grid(has_labels):
    for decade in range(DECADES[0], DECADES[1] + 1):
        y = at_y(10 ** decade)
        yield line(0, y, WIDTH, y)
        if has_labels:
            yield text(-6, y + 4, f"{10 ** decade:,g} ms", "end")
    for tokens, name in TICKS.items():
        yield line(at_x(tokens), 0, at_x(tokens), HEIGHT)
        yield text(at_x(tokens), HEIGHT + 16, name)


def draw(layers):
    sparse = {tokens: max(dict(layers[layer])[tokens] for layer in ("CSA", "HCA")) for tokens, _ in layers["dense"]}
    for layer, points in layers.items():
        path = " ".join(f"{at_x(tokens):.1f},{at_y(ms):.1f}" for tokens, ms in points)
        yield f'<polyline points="{path}" fill="none" stroke="{COLOURS[layer]}" stroke-width="2"/>'
        for tokens, ms in points:
            below = ms < sparse[tokens]  # the lower of the two that lie close together
            yield f'<circle cx="{at_x(tokens):.1f}" cy="{at_y(ms):.1f}" r="3" fill="{COLOURS[layer]}"/>'
            yield text(at_x(tokens), at_y(ms) + (17 if below else -8), number(ms), colour=COLOURS[layer])


def main():
    panels = read(sys.argv[1])
    width, height = LEFT + len(panels) * (WIDTH + GAP), TOP + HEIGHT + 60
    print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
          'font-size="11">')
    print(f'<rect width="{width}" height="{height}" fill="white"/>')
    for i, ((model, form), layers) in enumerate(panels.items()):
        print(f'<g transform="translate({LEFT + i * (WIDTH + GAP)},{TOP})">')
        print(text(WIDTH / 2, -14, f"DeepSeek-V4-{model.capitalize()}, {form}: one layer, one token"))
        print("\n".join(list(grid(i == 0)) + list(draw(layers))))
        print("</g>")
    for i, (layer, colour) in enumerate(COLOURS.items()):
        print(text(LEFT + i * 50, height - 26, layer, "start", colour))
    print(text(LEFT, height - 10, "by the tokens before it; processor time, without the layer's matrices", "start"))
    print("</svg>")


main()
