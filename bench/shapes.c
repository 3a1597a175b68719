/*
 * Searches as bare SQL over a database that Andiron wrote: what the same rows cost without a server, a planner or a judgement of
 * what was found. One connection, prepared statements, a transaction for each search, all rows read.
 *
 *     bench-shapes DATABASE <shapes
 *
 * Standard input has, for each shape, lines
 *   =name
 *   the statement: its parameters are the arguments, all columns are read
 *   +a statement that is run for each value of the former (its last parameter); the greatest ten numbers of all make
 *    the page, whose bodies are read (only where one statement cannot say it)
 *   arguments, one search a line: SQL expressions with a tab between them, evaluated before
 * and standard output gets "name<tab>median of microseconds of CPU time<tab>rows of all searches".
 */
#include <time.h>

#include "statements.h"

enum { LINE_MAX_BYTES = 8192, SEARCHES_MAX = 1024, PAGE = 10 };

static sqlite3_stmt *begin, *commit, *shape, *each, *body;
static char name[128];
static double took[SEARCHES_MAX];
static size_t searches, rows;
static volatile unsigned char sink; /* so that reading is not left out */

static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int compare_times(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static int ascending(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void read_row(sqlite3_stmt *s)
{
    for (int i = 0; i < sqlite3_column_count(s); i++) {
        const unsigned char *bytes = sqlite3_column_blob(s, i);
        int len = sqlite3_column_bytes(s, i);
        if (bytes != NULL && len > 0)
            sink ^= (unsigned char)(bytes[0] ^ bytes[len - 1]);
    }
    rows++;
}

static void end_shape(void)
{
    if (searches != 0) {
        qsort(took, searches, sizeof(took[0]), compare_times);
        printf("%s\t%.1f\t%zu\n", name, took[searches / 2], rows);
    }
    sqlite3_finalize(shape);
    sqlite3_finalize(each);
    shape = each = NULL;
    searches = rows = 0;
}

/* Binds each expression of a line to a parameter; how many there are. */
static int bind_line(char *line)
{
    int n = 0;
    char *rest = NULL;
    for (char *one = strtok_r(line, "\t", &rest); one != NULL; one = strtok_r(NULL, "\t", &rest)) {
        char sql[LINE_MAX_BYTES + 16] = "SELECT ";
        strncat(sql, one, LINE_MAX_BYTES);
        sqlite3_stmt *s = prepare(sql);
        if (sqlite3_step(s) != SQLITE_ROW)
            die(sql);
        sqlite3_bind_value(shape, ++n, sqlite3_column_value(s, 0));
        if (each != NULL)
            sqlite3_bind_value(each, n, sqlite3_column_value(s, 0));
        sqlite3_finalize(s);
    }
    return n;
}

/* The greatest numbers that the second statement finds for each value of the first. */
static void page_of_each(int arguments)
{
    static int64_t found[1 << 20];
    size_t count = 0;
    while (sqlite3_step(shape) == SQLITE_ROW) {
        sqlite3_bind_int64(each, arguments + 1, sqlite3_column_int64(shape, 0));
        while (sqlite3_step(each) == SQLITE_ROW && count < sizeof(found) / sizeof(found[0]))
            found[count++] = sqlite3_column_int64(each, 0);
        sqlite3_reset(each);
    }
    qsort(found, count, sizeof(found[0]), ascending);
    for (size_t i = 0; i < PAGE && i < count; i++) {
        sqlite3_bind_int64(body, 1, found[count - 1 - i]);
        if (sqlite3_step(body) == SQLITE_ROW)
            read_row(body);
        sqlite3_reset(body);
    }
}

static void search(char *line)
{
    int arguments = bind_line(line);
    double began = cpu_us();
    run(begin);
    if (each != NULL)
        page_of_each(arguments);
    else
        while (sqlite3_step(shape) == SQLITE_ROW)
            read_row(shape);
    sqlite3_reset(shape);
    run(commit);
    if (searches < SEARCHES_MAX)
        took[searches++] = cpu_us() - began;
}

int main(int argc, char **argv)
{
    char line[LINE_MAX_BYTES];
    if (argc != 2)
        die("usage: bench-shapes DATABASE <shapes");
    if (sqlite3_open_v2(argv[1], &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        die(argv[1]);
    (void)number("PRAGMA busy_timeout=5000");
    (void)number("PRAGMA mmap_size=4294967296");
    begin = prepare("BEGIN");
    commit = prepare("COMMIT");
    body = prepare("SELECT v.*,r.id FROM version v CROSS JOIN resource r ON r.rid=v.rid AND r.vid=v.vid WHERE v.vid=?");
    while (fgets(line, sizeof(line), stdin) != NULL) {
        line[strcspn(line, "\n")] = 0;
        if (line[0] == '=') {
            end_shape();
            (void)snprintf(name, sizeof(name), "%.*s", (int)sizeof(name) - 1, line + 1);
        } else if (shape == NULL) {
            shape = prepare(line);
        } else if (line[0] == '+') {
            each = prepare(line + 1);
        } else if (line[0] != 0) {
            search(line);
        }
    }
    end_shape();
    return 0;
}
