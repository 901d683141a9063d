/* Reads who takes part in a run.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/contenders.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/option_values.h"
#include "bench/server.h"

int leat_bench_contenders_index (const leat_bench_contenders_t *self,
                                 const leat_bench_contender_t *contender)
{
    for (unsigned i = 0; i < self->count; i++)
        if (self->list[i] == contender)
            return (int) i;
    return -1;
}

static bool s_is_named (const leat_bench_contender_t *contender, const char *name, size_t size)
{
    return strlen (contender->name) == size && memcmp (contender->name, name, size) == 0;
}

static const leat_bench_contender_t *s_find (const leat_bench_contender_t *const *known,
                                             const char *name, size_t size)
{
    for (; *known; known++)
        if (s_is_named (*known, name, size))
            return *known;
    return NULL;
}

/* "a, b, c" in allocated memory; NULL if there is none. */
static char *s_names (const leat_bench_contender_t *const *known)
{
    char *names = NULL;
    size_t size = 0;
    FILE *out = open_memstream (&names, &size);
    if (!out)
        return NULL;
    for (unsigned i = 0; known[i]; i++)
        fprintf (out, "%s%s", i ? ", " : "", known[i]->name);
    fclose (out);
    return names;
}

static void s_add (leat_bench_contenders_t *self, const leat_bench_contender_t *contender)
{
    if (self->count < LEAT_BENCH_CONTENDERS_MAX)
        self->list[self->count++] = contender;
}

void leat_bench_contenders_parse (leat_bench_contenders_t *self, struct argp_state *state,
                                  const leat_bench_contender_t *const *known, const char *text)
{
    self->count = 0;
    if (strcmp (text, "all") == 0) {
        for (; *known; known++)
            if (leat_bench_server_installed ((*known)->server))
                s_add (self, *known);
        return;
    }
    for (const char *name = text; name;) {
        size_t size = strcspn (name, ",");
        const leat_bench_contender_t *contender = s_find (known, name, size);
        if (!contender) {
            char *names = s_names (known);
            argp_error (state, "--contenders wants all or some of %s, not '%.*s'",
                        names ? names : "those of --help", (int) size, name);
            free (names);
            return;
        }
        if (leat_bench_contenders_index (self, contender) >= 0)
            argp_error (state, "--contenders wants each once, not '%s'", text);
        else if (!leat_bench_server_installed (contender->server))
            argp_error (state,
                        "--contenders: '%s' needs the program %s, which is not installed here",
                        contender->name, contender->server);
        else
            s_add (self, contender);
        name = name[size] ? name + size + 1 : NULL;
    }
}

void leat_bench_contenders_require (leat_bench_contenders_t *self, struct argp_state *state,
                                    const leat_bench_contender_t *usual, const char *text)
{
    for (const char *item = text; item;) {
        size_t size = strcspn (item, ",");
        size_t name_size = strcspn (item, "=,");
        const char *name = name_size < size ? item : usual->name;
        const char *value = name_size < size ? item + name_size + 1 : item;
        char number[32] = "";
        if ((size_t) (item + size - value) < sizeof number)
            memcpy (number, value, (size_t) (item + size - value));
        name_size = name == item ? name_size : strlen (name);

        unsigned at = 0;
        while (at < self->count && !s_is_named (self->list[at], name, name_size))
            at++;
        if (at == self->count || self->list[at] == &leat_bench_leat
            || leat_bench_contenders_index (self, &leat_bench_leat) < 0) {
            argp_error (state, "--require compares leat with %.*s; both must be contenders",
                        (int) name_size, name);
            return;
        }
        self->require[at] = leat_bench_option_number (state, "require", number, false);
        item = item[size] ? item + size + 1 : NULL;
    }
}

char *leat_bench_help_names (int key, const char *text, leat_bench_known_fn *known,
                             const void *list)
{
    if (key != ARGP_KEY_HELP_POST_DOC || !text)
        return (char *) text;
    char *help = NULL;
    size_t size = 0;
    FILE *out = open_memstream (&help, &size);
    if (!out)
        return NULL;
    const char *name;
    const char *server;
    fprintf (out, "%s\n\nContenders of this program: ", text);
    for (unsigned i = 0; (name = known (list, i, &server)) != NULL; i++)
        fprintf (out, "%s%s", i ? ", " : "", name);
    fprintf (out, ".");
    bool first = true;
    for (unsigned i = 0; (name = known (list, i, &server)) != NULL; i++) {
        if (leat_bench_server_installed (server))
            continue;
        fprintf (out, "%s%s", first ? " Not installed here: " : ", ", name);
        first = false;
    }
    fprintf (out, "%s", first ? "" : ".");
    fclose (out);
    return help;
}

static const char *s_known (const void *list, unsigned i, const char **server)
{
    const leat_bench_contender_t *const *known = list;
    *server = known[i] ? known[i]->server : NULL;
    return known[i] ? known[i]->name : NULL;
}

char *leat_bench_contenders_help (int key, const char *text,
                                  const leat_bench_contender_t *const *known)
{
    return leat_bench_help_names (key, text, s_known, known);
}
