/*
 * Trying patterns. Runs on the pool: bodies may be large, and nobody waits for it in a hurry.
 */
#include "trial.h"

#include "match.h"

enum { ANSWER_MAX = 256 * 1024 * 1024 /* the body, and the difference */ };

struct trial {
    struct trial_settings settings;
    struct andiron_arena *arena;
    andiron_json body;
    andiron_json context; /* pruned */
    andiron_str answer;
    struct andiron_error err; /* code OK: answer is there */
};

/* ---- RO-1: null, "", [] and {} are no values ------------------------------------------------ */

static bool is_blank(andiron_json v)
{
    struct andiron_json_iter it = { .of = v };
    switch (andiron_json_type(v)) {
    case ANDIRON_JSON_BOOL:
    case ANDIRON_JSON_NUMBER:
        return false;
    case ANDIRON_JSON_STRING:
        return andiron_json_str(v).len == 0;
    case ANDIRON_JSON_ARRAY:
        return andiron_json_count(v) == 0;
    case ANDIRON_JSON_OBJECT:
        while (andiron_json_next(&it))
            if (!is_blank(it.value))
                return false;
        return true;
    case ANDIRON_JSON_MISSING:
    case ANDIRON_JSON_NULL:
    default:
        return true;
    }
}

static void put_pruned(const struct trial *t, struct andiron_json_writer *w, const char *name,
                       andiron_json v)
{
    struct andiron_json_iter it = { .of = v };
    switch (andiron_json_type(v)) {
    case ANDIRON_JSON_OBJECT:
        andiron_json_put_object(w, name);
        while (andiron_json_next(&it))
            if (!is_blank(it.value))
                put_pruned(t, w, andiron_copy(t->arena, it.name), it.value);
        andiron_json_put_end(w);
        break;
    case ANDIRON_JSON_ARRAY:
        andiron_json_put_array(w, name);
        while (andiron_json_next(&it))
            put_pruned(t, w, NULL, it.value);
        andiron_json_put_end(w);
        break;
    default:
        andiron_json_put(w, name, v);
    }
}

/* Resource and context as policies would see what is in them. */
static andiron_json prune(struct trial *t)
{
    struct andiron_json_writer *w = andiron_json_write(t->arena, ANSWER_MAX);
    andiron_json pruned = { NULL, 0 };
    andiron_json_put_object(w, NULL);
    put_pruned(t, w, "resource", andiron_json_get(t->body, "resource"));
    put_pruned(t, w, "context", andiron_json_get(t->body, "context"));
    andiron_json_put_end(w);
    andiron_str text = andiron_json_written(w);
    if (text.data == NULL)
        (void)andiron_error_set(&t->err, ANDIRON_E_TOO_LARGE, "", "the body is too large");
    else if (andiron_json_parse(t->arena, text, &pruned, &t->err) == 0)
        t->err.code = ANDIRON_OK;
    return pruned;
}

/* ---- matching ------------------------------------------------------------------------------- */

static andiron_json input_of_context(void *arg, const char *path)
{
    const struct trial *t = arg;
    return path[0] == '\0' ? t->context : andiron_json_path(t->context, path);
}

static void put_difference(const struct match *m, struct andiron_json_writer *w)
{
    andiron_json_put_object(w, NULL);
    andiron_json_put(w, "expected", m->failed->pattern);
    if (m->is_missing)
        andiron_json_put_raw(w, "but", ANDIRON_STR("null"));
    else
        andiron_json_put(w, "but", m->found);
    andiron_json_put_array(w, "path");
    for (size_t i = 0; i < m->place.depth; i++) {
        if (m->place.steps[i].name.data == NULL)
            andiron_json_put_int(w, NULL, (int64_t)m->place.steps[i].index);
        else
            andiron_json_put_str(w, NULL, m->place.steps[i].name);
    }
    andiron_json_put_end(w);
    andiron_json_put_end(w);
}

static void put_answer(struct trial *t, const struct match *m, enum match_result result)
{
    struct andiron_json_writer *w = andiron_json_write(t->arena, ANSWER_MAX);
    andiron_json_put_object(w, NULL);
    andiron_json_put(w, "matcho", andiron_json_get(t->body, "matcho"));
    andiron_json_put(w, "resource", andiron_json_get(t->body, "resource"));
    andiron_json_put_array(w, "result");
    if (result == MATCH_NO)
        put_difference(m, w);
    andiron_json_put_end(w);
    andiron_json_put_end(w);
    t->answer = andiron_json_written(w);
    if (t->answer.data == NULL)
        (void)andiron_error_set(&t->err, ANDIRON_E_TOO_LARGE, "", "the answer is too large");
}

static void match_body(struct trial *t, const struct program *program, andiron_json value)
{
    struct match *m = andiron_new(t->arena, struct match);
    m->program = program;
    m->regex = pattern_matcher_new(t->settings.regex_steps, t->settings.regex_subject);
    m->fhir_base = t->settings.fhir_base;
    m->null_equal = t->settings.null_equal;
    m->limit_us = t->settings.limit_us;
    m->input = input_of_context;
    m->arg = t;
    enum match_result result = match_value(m, value);
    pattern_matcher_free(m->regex);
    if (result == MATCH_GAVE_UP)
        (void)andiron_error_set(&t->err, ANDIRON_E_UNPROCESSABLE, "matcho",
                                "took too long to compare; a policy would grant nothing");
    else
        put_answer(t, m, result);
}

static void run_trial(void *state)
{
    struct trial *t = state;
    struct program program;
    andiron_json pattern = andiron_json_get(t->body, "matcho");

    if (andiron_json_type(pattern) == ANDIRON_JSON_MISSING) {
        (void)andiron_error_set(&t->err, ANDIRON_E_REQUIRED, "matcho",
                                "is required: the pattern to try");
        return;
    }
    if (program_compile(t->arena, pattern, "matcho", &program, &t->err) != 0)
        return;
    andiron_json pruned = prune(t);
    if (t->err.code != ANDIRON_OK)
        return;
    t->context = andiron_json_get(pruned, "context");
    match_body(t, &program, andiron_json_get(pruned, "resource"));
}

static enum andiron_step answer(struct andiron_request *req, void *state)
{
    const struct trial *t = state;
    if (t->err.code != ANDIRON_OK)
        return andiron_fail_with(req, &t->err);
    return andiron_reply(req, 200, "application/json", t->answer);
}

enum andiron_step trial_serve(const struct trial_settings *settings, struct andiron_request *req)
{
    struct trial *t = andiron_new(andiron_request_arena(req), struct trial);
    t->settings = *settings;
    t->arena = andiron_request_arena(req);
    if (andiron_request_json(req, &t->body) != 0)
        return ANDIRON_DONE;
    if (andiron_json_type(t->body) != ANDIRON_JSON_OBJECT)
        return andiron_fail(req, ANDIRON_E_INVALID,
                            "the body must be an object: {\"matcho\":...,\"resource\":...}");
    return andiron_offload(req, run_trial, answer, t);
}
