/*
 * The program: options, then serving, or a subcommand of cli/.
 */
#include "base/exits.h"
#include "cli/cli.h"
#include "daemon/control.h"
#include "daemon/supervisor.h"
#include "daemon/worker.h"

int main(int argc, char **argv)
{
    const char *worker = NULL;

    if (cli_options(&argc, argv, &worker) != 0)
        return EXIT_USAGE;
    if (worker != NULL)
        return worker_run(cli_invocation(), worker);
    if (argc > 1)
        return cli_main(argc - 1, argv + 1, &control_plugin);
    return supervisor_run(cli_invocation());
}
