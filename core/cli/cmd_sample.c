/*
 * andiron sample: NDJSON of synthetic patients on standard output.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/remote.h"
#include "cli/sample.h"

static const char usage[] =
    "usage: andiron sample [--patients N] [--seed S] [--observations N]\n"
    "\n"
    "Prints synthetic patients with encounters, conditions, observations, prescriptions and more,\n"
    "a resource a line. The same options always give the same bytes.\n"
    "\n"
    "  --patients N      how many (50)\n"
    "  --seed S          another seed, other patients (1)\n"
    "  --observations N  of each patient (40)\n"
    "  --json            a line with counts on standard error\n"
    "\n"
    "  andiron sample | andiron import -\n";

static int number(const char *name, const char *text, int64_t max, uint64_t *ret)
{
    int64_t n;
    if (units_int(andiron_str_of(text), &n) != 0 || n < 0 || n > max)
        return cli_fail(EXIT_USAGE, NULL, "--%s is a whole number from 0 to %" PRId64 ", not '%s'",
                        name, max, text);
    *ret = (uint64_t)n;
    return 0;
}

int cmd_sample(int argc, char **argv)
{
    static const struct option options[] = { { "patients", required_argument, NULL, 'p' },
                                             { "seed", required_argument, NULL, 's' },
                                             { "observations", required_argument, NULL, 'o' },
                                             { "json", no_argument, NULL, 'j' },
                                             { "help", no_argument, NULL, 'h' },
                                             { NULL, 0, NULL, 0 } };
    struct sample_options what = { .seed = 1, .patients = 50, .observations = 40 };
    struct sample_counts counts;
    bool json = false;
    int c, status = 0;

    while (status == 0 && (c = cli_getopt(argc, argv, options)) != -1) {
        switch (c) {
        case 'p':
            status = number("patients", optarg, 100000000, &what.patients);
            break;
        case 's':
            status = number("seed", optarg, INT64_MAX, &what.seed);
            break;
        case 'o':
            status = number("observations", optarg, 100000, &what.observations);
            break;
        case 'j':
            json = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return EXIT_DONE;
        default:
            status = EXIT_USAGE;
        }
    }
    if (status == 0 && optind < argc)
        status =
            cli_fail(EXIT_USAGE, "andiron sample --help", "unexpected argument '%s'", argv[optind]);
    if (status != 0)
        return status;
    if (sample_write(&what, stdout, &counts) != 0)
        return cli_fail(EXIT_NO_OUTPUT, NULL, "cannot write: %s", strerror(errno));
    if (json)
        fprintf(stderr,
                "{\"event\":\"done\",\"resources\":%" PRIu64 ",\"observations\":%" PRIu64 "}\n",
                counts.resources, counts.observations);
    return EXIT_DONE;
}
