/*
 * One thread of jansson parse + SQLite insert: what transaction Bundles are measured against.
 *
 *     bench-bundles NDJSON DATABASE CHUNK
 *
 * DATABASE is an empty one that Andiron made. Reads resources, a line each, parses each with
 * jansson, and inserts its text with the index rows of an Observation, CHUNK resources a
 * transaction, synchronous=FULL. Prints resources a second.
 */
#include <jansson.h>
#include <time.h>

#include "rows.h"

/* Rows that Andiron inserts for an Observation of the sample data (bench-floor prints them). */
enum { TOKENS = 12, REFERENCES = 3, DATES = 1, NUMBERS = 6, STRINGS = 3, KEYS = 440 };

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static size_t number_params(int64_t *p, size_t count, int64_t first)
{
    for (size_t i = 0; i < count; i++)
        p[i] = first + (int64_t)i;
    return count;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fputs("usage: bench-bundles NDJSON DATABASE CHUNK\n", stderr);
        return 64;
    }
    FILE *in = fopen(argv[1], "r");
    if (in == NULL)
        die(argv[1]);
    rows_open(argv[2]);
    token_rows = number_params(token_p, TOKENS, 1000);
    ref_rows = number_params(ref_p, REFERENCES, 1100);
    date_rows = number_params(date_p, DATES, 1200);
    num_rows = number_params(num_p, NUMBERS, 1300);
    str_rows = number_params(str_p, STRINGS, 1400);
    keys_len = KEYS;
    next_vid = number("SELECT ifnull(max(vid),0) FROM version") + 1;
    next_rid = number("SELECT ifnull(max(rid),0) FROM resource") + 1;

    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    int64_t count = 0, chunk = atoll(argv[3]);
    double begun = now();
    while ((len = getline(&line, &room, in)) > 0) {
        json_error_t error;
        json_t *parsed = json_loadb(line, (size_t)len, 0, &error);
        const char *id = json_string_value(json_object_get(parsed, "id"));
        if (id != NULL) {
            if (count++ % chunk == 0) {
                if (count > 1)
                    run(commit);
                run(begin);
            }
            rows_put(1, id, strlen(id), line, (size_t)len);
        }
        json_decref(parsed);
    }
    if (count > 0)
        run(commit);
    printf("%.0f\n", (double)count / (now() - begun));
    free(line);
    (void)fclose(in);
    return 0;
}
