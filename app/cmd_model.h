/* The subcommands of `pandect model`. */
#ifndef PD_CMD_MODEL_H
#define PD_CMD_MODEL_H

#include "app/command.h"

int pd_cmd_model_pull(PdApp *app, int argc, char **argv);
int pd_cmd_model_ls(PdApp *app, int argc, char **argv);
int pd_cmd_model_logits(PdApp *app, int argc, char **argv);
int pd_cmd_model_info(PdApp *app, int argc, char **argv);
int pd_cmd_model_tokenize(PdApp *app, int argc, char **argv);
int pd_cmd_model_calibrate(PdApp *app, int argc, char **argv);

#endif
