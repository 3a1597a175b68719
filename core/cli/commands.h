/*
 * The subcommands: each takes its own arguments (argv[0] is its name) and returns an exit
 * status. The table of all of them is in cli.c.
 */
#ifndef CORE_CLI_COMMANDS_H
#define CORE_CLI_COMMANDS_H

/* on files alone */
int cmd_version(int argc, char **argv);
int cmd_check_config(int argc, char **argv);
int cmd_print_config(int argc, char **argv);
int cmd_plugins(int argc, char **argv);
int cmd_migrate(int argc, char **argv);
int cmd_enable(int argc, char **argv);
int cmd_disable(int argc, char **argv);

int cmd_new(int argc, char **argv);
int cmd_test_plugin(int argc, char **argv);
int cmd_explain_policy(int argc, char **argv);
int cmd_sample(int argc, char **argv);
int cmd_sign_assertion(int argc, char **argv);
int cmd_restore(int argc, char **argv);
int cmd_doctor(int argc, char **argv);

/* over the control socket */
int cmd_status(int argc, char **argv);
int cmd_reload(int argc, char **argv);
int cmd_stop(int argc, char **argv);
int cmd_drain(int argc, char **argv);
int cmd_keys(int argc, char **argv);
int cmd_policies(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_audit(int argc, char **argv);
int cmd_backup(int argc, char **argv);

/* over HTTP */
int cmd_client(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_token(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_export(int argc, char **argv);

#endif
