/*
 * Uploads of $import: whatever comes, in pieces of any size, each batch is a Bundle of whole resources, one for
 * each line that is sent; no line is lost, and no two batches that are at work name the same resource.
 * And whatever is taken for an answer, the report is JSON.
 */
#include "bulk/import_report.h"
#include "target.h"

enum { OTHERS = 2 };

struct run {
    struct andiron_arena *arena;
    struct upload u;
    struct upload_batch batches[OTHERS + 1];
    struct bytes bundles[OTHERS + 1];
    size_t at_work;
    uint64_t line;
    struct import_report report;
    andiron_str answer;
};

static andiron_str url_of(andiron_json entry)
{
    return andiron_json_str(andiron_json_path(entry, "request.url"));
}

static void check_entry(const struct upload_line *line, andiron_json entry)
{
    andiron_json resource = andiron_json_get(entry, "resource");
    andiron_str type = andiron_json_str(andiron_json_get(resource, "resourceType")),
                id = andiron_json_str(andiron_json_get(resource, "id")), url = url_of(entry);

    FUZZ_CHECK(andiron_json_count(entry) == 2);
    FUZZ_CHECK(andiron_json_count(andiron_json_get(entry, "request")) == 2);
    FUZZ_CHECK(andiron_str_eq(url, line->name));
    FUZZ_CHECK(url.len == type.len + (id.len > 0 ? 1 + id.len : 0));
    FUZZ_CHECK(memcmp(url.data, type.data, type.len) == 0);
    FUZZ_CHECK(id.len == 0 || memcmp(url.data + url.len - id.len, id.data, id.len) == 0);
}

static void check_batch(struct run *r, const struct upload_batch *b)
{
    andiron_json root, entries;
    struct andiron_error err;
    struct andiron_json_iter it;

    FUZZ_CHECK(andiron_json_parse(r->arena, b->bundle, &root, &err) == 0);
    entries = andiron_json_get(root, "entry");
    FUZZ_CHECK(andiron_json_count(root) == 3 && andiron_json_count(entries) == b->sent);
    FUZZ_CHECK(b->count <= r->u.limits.rows && b->sent <= b->count);
    FUZZ_CHECK(b->last == r->u.line && (b->last == r->line) == b->is_kept);
    it = (struct andiron_json_iter){ .of = entries };
    for (size_t i = 0; i < b->count; i++) {
        const struct upload_line *line = &b->lines[i];
        FUZZ_CHECK(line->number > r->line && line->number <= b->last);
        r->line = line->number;
        FUZZ_CHECK(line->is_sent == (line->wrong.code == ANDIRON_OK));
        if (!line->is_sent)
            continue;
        FUZZ_CHECK(andiron_json_next(&it));
        check_entry(line, it.value);
        for (size_t j = 0; j < i && memchr(line->name.data, '/', line->name.len) != NULL; j++)
            FUZZ_CHECK(!b->lines[j].is_sent || !andiron_str_eq(b->lines[j].name, line->name));
        for (size_t o = 0; o < r->at_work && memchr(line->name.data, '/', line->name.len) != NULL;
             o++)
            for (size_t j = 0; j < r->batches[o].count; j++)
                FUZZ_CHECK(!andiron_str_eq(r->batches[o].lines[j].name, line->name));
    }
    r->line = b->last;
}

/* The earliest is over. */
static void end_first(struct run *r)
{
    struct bytes again = { .data = NULL }, bundle = r->bundles[0];
    andiron_json root;
    struct andiron_error err;

    (void)import_answer_read(r->arena, &r->batches[0], r->answer, &err);
    FUZZ_CHECK(andiron_json_parse(r->arena, upload_again(&r->batches[0], &again), &root, &err) ==
               0);
    import_report_add(&r->report, &r->batches[0]);
    bytes_free(&again);
    r->at_work--;
    memmove(&r->batches[0], &r->batches[1], OTHERS * sizeof(r->batches[0]));
    memmove(&r->bundles[0], &r->bundles[1], OTHERS * sizeof(r->bundles[0]));
    r->bundles[OTHERS] = bundle;
}

static void take(struct run *r)
{
    while (upload_has_batch(&r->u)) {
        const struct upload_batch *others[OTHERS];
        struct upload_batch *b = &r->batches[r->at_work];
        for (size_t i = 0; i < r->at_work; i++)
            others[i] = &r->batches[i];
        upload_take(&r->u, r->arena, &r->bundles[r->at_work], others, r->at_work, b);
        check_batch(r, b);
        FUZZ_CHECK(!b->is_kept || r->at_work > 0);
        if (!b->is_kept)
            r->at_work++;
        if (b->is_kept || r->at_work > OTHERS)
            end_first(r);
    }
}

static void check_report(struct run *r)
{
    andiron_str text = import_report_text(&r->report, r->arena);
    andiron_json root;
    struct andiron_error err;

    FUZZ_CHECK(r->report.lines == r->u.line);
    FUZZ_CHECK(r->report.told <= r->report.most && r->report.told <= r->report.refused);
    if (!r->report.is_ndjson)
        FUZZ_CHECK(andiron_json_parse(r->arena, text, &root, &err) == 0);
}

/* The first bytes choose limits and sizes, up to a NUL come lines, and behind it an answer. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run r = { .arena = NULL };
    uint64_t ends = 0;

    if (size < 3)
        return 0;
    r.arena = andiron_arena_new(0);
    r.u.limits = (struct upload_limits){ .rows = 1 + data[0] % 5,
                                         .bytes = (size_t)16 << data[0] % 7,
                                         .line = 16 + (size_t)data[1],
                                         .makes_ids = data[0] > 127 };
    r.report.most = 3;
    r.report.is_ndjson = data[1] % 2 == 0;
    andiron_str all = { (const char *)data + 3, size - 3 };
    const char *mark = all.len > 0 ? memchr(all.data, '\0', all.len) : NULL;
    andiron_str lines = { all.data, mark != NULL ? (size_t)(mark - all.data) : all.len };
    if (mark != NULL)
        r.answer = (andiron_str){ mark + 1, all.len - lines.len - 1 };
    for (size_t at = 0, step = 1 + (size_t)data[2]; at < lines.len; at += step) {
        upload_add(&r.u,
                   (andiron_str){ lines.data + at, lines.len - at < step ? lines.len - at : step });
        take(&r);
    }
    upload_end(&r.u);
    take(&r);
    while (r.at_work > 0)
        end_first(&r);
    for (size_t i = 0; i < lines.len; i++)
        ends += lines.data[i] == '\n';
    FUZZ_CHECK(r.u.line == ends + (lines.len > 0 && lines.data[lines.len - 1] != '\n'));
    FUZZ_CHECK(r.u.in.len == 0);
    check_report(&r);
    import_report_free(&r.report);
    for (size_t i = 0; i <= OTHERS; i++)
        bytes_free(&r.bundles[i]);
    upload_free(&r.u);
    andiron_arena_free(r.arena);
    return 0;
}
