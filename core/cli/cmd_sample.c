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

static int take_patients(void *what, const char *value)
{
    return number("patients", value, 100000000, &((struct sample_options *)what)->patients);
}

static int take_seed(void *what, const char *value)
{
    return number("seed", value, INT64_MAX, &((struct sample_options *)what)->seed);
}

static int take_observations(void *what, const char *value)
{
    return number("observations", value, 100000, &((struct sample_options *)what)->observations);
}

int cmd_sample(int argc, char **argv)
{
    struct sample_options what = { .seed = 1, .patients = 50, .observations = 40 };
    struct sample_counts counts;
    bool json = false;
    const struct cli_option options[] = {
        { .name = "patients", .take = take_patients, .arg = &what },
        { .name = "seed", .take = take_seed, .arg = &what },
        { .name = "observations", .take = take_observations, .arg = &what },
        { .name = "json", .is_given = &json },
        { .name = NULL }
    };
    int status = cli_read_options(argc, argv, options, usage);

    if (status != CLI_GO_ON)
        return status;
    if (optind < argc)
        return cli_fail(EXIT_USAGE, "andiron sample --help", "unexpected argument '%s'",
                        argv[optind]);
    if (sample_write(&what, stdout, &counts) != 0)
        return cli_fail(EXIT_NO_OUTPUT, NULL, "cannot write: %s", strerror(errno));
    if (json)
        fprintf(stderr,
                "{\"event\":\"done\",\"resources\":%" PRIu64 ",\"observations\":%" PRIu64 "}\n",
                counts.resources, counts.observations);
    return EXIT_DONE;
}
