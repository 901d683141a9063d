/* What a broker is told on its command line and in its configuration file.
 * SPDX-License-Identifier: MPL-2.0 */

#include <czmq.h>
#include <sys/mman.h>

#include "broker/broker_config.h"
#include "cli/units.h"
#include "wire/alloc.h"
#include "wire/assert.h"
#include "wire/batch.h"

typedef enum { S_count, S_size, S_ms } s_unit_t;

typedef struct {
    const char *name;
    uint64_t value;
    s_unit_t unit;
    const char *text;
} limit_t;

static const limit_t s_limits[] = {
#define X(name, value, unit, text) { #name, (value), S_##unit, text },
    LEAT_LIMITS (X)
#undef X
};

static uint64_t *s_limit_at (leat_broker_config_t *self, size_t i)
{
    uint64_t *const values[] = {
#define X(name, value, unit, text) &self->limits.name,
        LEAT_LIMITS (X)
#undef X
    };
    leat_assert (i < sizeof values / sizeof *values);
    return values[i];
}

leat_broker_config_t *leat_broker_config_new (void)
{
    leat_broker_config_t *self = leat_alloc (sizeof *self);
    self->listens = leat_alloc (sizeof *self->listens);
    leat_limits_default (&self->limits);
    return self;
}

void leat_broker_config_destroy (leat_broker_config_t **self_p)
{
    leat_broker_config_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->listen_count; i++)
        free (self->listens[i]);
    free (self->listens);
    free (self->stats);
    free (self->events);
    free (self->data_dir);
    for (size_t i = 0; i < LEAT_LIMIT_COUNT; i++)
        free (self->limit_said[i]);
    free (self);
    *self_p = NULL;
}

void leat_broker_config_listen (leat_broker_config_t *self, const char *endpoint)
{
    self->listens = leat_realloc (self->listens, (self->listen_count + 2) * sizeof *self->listens);
    self->listens[self->listen_count++] = leat_copy_text (endpoint, strlen (endpoint));
    self->listens[self->listen_count] = NULL;
}

bool leat_broker_config_data_size (leat_broker_config_t *self, const char *value, const char **why)
{
    const uint64_t least = UINT64_C (1) << 20;
    uint64_t size;
    if (!leat_size_parse (value, &size, why))
        return false;
    if (size < least || size > UINT64_C (1) << 46) {
        *why = "a data directory takes from 1MiB to 64TiB";
        return false;
    }
    self->data_size = size;
    return true;
}

static bool s_same_name (const char *a, const char *b)
{
    while (*a && (*a == '-' ? '_' : *a) == *b) {
        a++;
        b++;
    }
    return !*a && !*b;
}

bool leat_broker_config_limit (leat_broker_config_t *self, bool by_flag, const char *name,
                               const char *value, const char *said, char *error, size_t error_size)
{
    size_t i = 0;
    while (i < LEAT_LIMIT_COUNT && !s_same_name (name, s_limits[i].name))
        i++;
    if (i == LEAT_LIMIT_COUNT) {
        snprintf (error, error_size,
                  "%s: there is no limit '%s'; `leat broker --limits` lists them", said, name);
        return false;
    }
    uint64_t number = 0;
    const char *why = NULL;
    bool valid = s_limits[i].unit == S_size ? leat_size_parse (value, &number, &why)
                 : s_limits[i].unit == S_ms ? leat_duration_parse (value, &number, &why)
                                            : leat_count_parse (value, &number, &why);
    if (!valid) {
        snprintf (error, error_size, "%s: %s", said, why);
        return false;
    }
    if (self->limit_fixed[i] && !by_flag)
        return true;
    *s_limit_at (self, i) = number;
    self->limit_fixed[i] = by_flag;
    free (self->limit_said[i]);
    self->limit_said[i] = leat_copy_text (said, strlen (said));
    return true;
}

/* ---- the file -------------------------------------------------------------------------------- */

/* The whole file as text; NULL with a sentence. */
static char *s_read (const char *path, char *error, size_t error_size)
{
    enum { SIZE_MAX_CONFIG = 1 << 20 };
    FILE *file = fopen (path, "re");
    char *text = leat_alloc (SIZE_MAX_CONFIG + 1);
    size_t size = file ? fread (text, 1, SIZE_MAX_CONFIG, file) : 0;
    const char *why = NULL;
    if (!file || ferror (file))
        why = strerror (errno);
    else if (size == SIZE_MAX_CONFIG)
        why = "it is larger than 1 MiB, which no configuration is";
    else if (strlen (text) != size)
        why = "it is not a text file";
    if (file)
        fclose (file);
    if (!why)
        return text;
    snprintf (error, error_size, "cannot read %s: %s", path, why);
    free (text);
    return NULL;
}

/* Czmq says what is wrong with a file, but to stdout (zclock_log), and returns NULL. So what it says is
 * caught in a file without a name. Called before there is a second thread. */
static zconfig_t *s_parse (const char *path, char *text, char *error, size_t error_size)
{
    fflush (stdout);
    int real = fcntl (STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    int caught = memfd_create ("messages", MFD_CLOEXEC);
    if (caught >= 0)
        dup2 (caught, STDOUT_FILENO);
    zconfig_t *root = zconfig_str_load (text);
    fflush (stdout);
    if (real >= 0) {
        dup2 (real, STDOUT_FILENO);
        close (real);
    } else if (caught >= 0)
        close (STDOUT_FILENO);
    char said[256] = "";
    ssize_t size = caught >= 0 ? pread (caught, said, sizeof said - 1, 0) : 0;
    if (caught >= 0)
        close (caught);
    said[size > 0 ? size : 0] = 0;
    said[strcspn (said, "\n")] = 0;
    if (root && !*said)
        return root;
    /* "26-11-21 06:42:52 E (zconfig): (3) indent 4 spaces at once" */
    const char *begin = strstr (said, "(zconfig): (");
    char *end = NULL;
    unsigned long line = begin ? strtoul (begin + strlen ("(zconfig): ("), &end, 10) : 0;
    if (end && *end == ')')
        snprintf (error, error_size, "%s, line %lu:%s", path, line, end + 1);
    else
        snprintf (error, error_size, "%s is not a configuration: %s", path, said);
    zconfig_destroy (&root);
    return NULL;
}

static bool s_boolean (const char *text, bool *value)
{
    static const char *const yes[] = { "1", "yes", "true", "on" };
    static const char *const no[] = { "0", "no", "false", "off" };
    for (size_t i = 0; i < 4; i++) {
        if (strcmp (text, yes[i]) == 0 || strcmp (text, no[i]) == 0) {
            *value = strcmp (text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

static void s_set_text (char **text, const char *value)
{
    if (!*text)
        *text = leat_copy_text (value, strlen (value));
}

static bool s_take_limit (leat_broker_config_t *self, const char *name, const char *value,
                          char *error, size_t error_size)
{
    char said[256];
    snprintf (said, sizeof said, "limit %s = %s", name, value);
    return leat_broker_config_limit (self, false, name, value, said, error, error_size);
}

/* One key of the first level. */
static bool s_take (leat_broker_config_t *self, zconfig_t *item, char *error, size_t error_size)
{
    const char *name = zconfig_name (item);
    const char *value = zconfig_value (item);
    if (strcmp (name, "limits") == 0) {
        for (zconfig_t *at = zconfig_child (item); at; at = zconfig_next (at))
            if (!s_take_limit (self, zconfig_name (at), zconfig_value (at), error, error_size))
                return false;
        return true;
    }
    if (zconfig_child (item) || !*value) {
        snprintf (error, error_size, "'%s' must be written %s = VALUE", name, name);
        return false;
    }
    if (strcmp (name, "listen") == 0) {
        if (!self->listens_fixed)
            leat_broker_config_listen (self, value);
    } else if (strcmp (name, "stats") == 0)
        s_set_text (&self->stats, value);
    else if (strcmp (name, "events") == 0)
        s_set_text (&self->events, value);
    else if (strcmp (name, "data") == 0)
        s_set_text (&self->data_dir, value);
    else if (strcmp (name, "data-size") == 0) {
        const char *why = NULL;
        if (!self->data_size && !leat_broker_config_data_size (self, value, &why)) {
            snprintf (error, error_size, "data-size = %s: %s", value, why);
            return false;
        }
    } else if (strcmp (name, "insecure") == 0) {
        bool insecure = false;
        if (!s_boolean (value, &insecure)) {
            snprintf (error, error_size, "insecure is yes or no, not '%s'", value);
            return false;
        }
        self->insecure |= insecure;
    } else {
        snprintf (error, error_size,
                  "there is no key '%s'; there are listen, stats, data, data-size, insecure and "
                  "the section limits",
                  name);
        return false;
    }
    return true;
}

bool leat_broker_config_load (leat_broker_config_t *self, const char *path, char *error,
                              size_t error_size)
{
    char *text = s_read (path, error, error_size);
    if (!text)
        return false;
    zconfig_t *root = s_parse (path, text, error, error_size);
    free (text);
    if (!root)
        return false;
    bool fine = true;
    for (zconfig_t *item = zconfig_child (root); item && fine; item = zconfig_next (item)) {
        char why[512];
        fine = s_take (self, item, why, sizeof why);
        if (!fine)
            snprintf (error, error_size, "%s: %s", path, why);
    }
    zconfig_destroy (&root);
    return fine;
}

/* ---- the rest -------------------------------------------------------------------------------- */

/* A limit that must hold what another one allows follows it, unless somebody has said otherwise. */
static void s_follow (leat_broker_config_t *self, size_t i, uint64_t least, FILE *notes)
{
    uint64_t *value = s_limit_at (self, i);
    if (self->limit_said[i] || *value >= least)
        return;
    *value = least;
    char text[LEAT_UNITS_TEXT_SIZE];
    if (notes)
        fprintf (notes, "leat broker: limit %s follows the largest record: %s\n", s_limits[i].name,
                 leat_size_exact (least, text));
}

static const char *s_value_text (s_unit_t unit, uint64_t value, char *text)
{
    if (unit == S_size)
        return leat_size_exact (value, text);
    if (unit == S_ms)
        return leat_duration_exact (value, text);
    snprintf (text, LEAT_UNITS_TEXT_SIZE, "%" PRIu64, value);
    return text;
}

/* True if a sentence of leat_limits_check speaks of this limit. Two speak of many, of which only those
 * with a wrong value are meant. */
static bool s_speaks_of (leat_broker_config_t *self, const char *sentence, size_t i)
{
    const char *name = s_limits[i].name;
    size_t size = strlen (name);
    if (strncmp (sentence, "a limit is above", 16) == 0)
        return *s_limit_at (self, i) > (uint64_t) 1 << 48;
    if (strstr (sentence, "must be at least 1") && *s_limit_at (self, i))
        return false;
    for (const char *at = sentence; (at = strstr (at, name)); at += size)
        if ((at == sentence || at[-1] == ' ') && !isalnum ((unsigned char) at[size])
            && at[size] != '_')
            return true;
    return false;
}

/* What the user said, what is wrong with it, and what the other limits are of which that speaks:
 *
 *      --limit batch_size=1KiB: batch_size must hold a record of record_size and 8 bytes more
 *      (record_size is 1MiB) */
static void s_say_misfit (leat_broker_config_t *self, const char *why, char *error,
                          size_t error_size)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream (&text, &size);
    leat_assert (stream);
    const char *between = "";
    for (size_t i = 0; i < LEAT_LIMIT_COUNT; i++)
        if (self->limit_said[i] && s_speaks_of (self, why, i)) {
            fprintf (stream, "%s%s", between, self->limit_said[i]);
            between = ", ";
        }
    fprintf (stream, "%s%s", *between ? ": " : "", why);
    between = " (";
    for (size_t i = 0; i < LEAT_LIMIT_COUNT; i++)
        if (!self->limit_said[i] && s_speaks_of (self, why, i)) {
            char value[LEAT_UNITS_TEXT_SIZE];
            fprintf (stream, "%s%s is %s", between, s_limits[i].name,
                     s_value_text (s_limits[i].unit, *s_limit_at (self, i), value));
            between = ", ";
        }
    fputs (between[0] == ',' ? ")" : "", stream);
    fclose (stream);
    snprintf (error, error_size, "%s", text);
    free (text);
}

/* Options that are right each by itself. */
static bool s_fits_together (const leat_broker_config_t *self, char *error, size_t error_size)
{
    if (self->data_size && !self->data_dir) {
        snprintf (error, error_size,
                  "a data size is for a data directory; say --data DIR too, or leave it out");
        return false;
    }
    const char *port = strrchr (self->stats, ':');
    bool any = port && (strcmp (port, ":0") == 0 || strcmp (port, ":*") == 0);
    for (size_t i = 0; i < self->listen_count && !any; i++)
        if (strcmp (self->listens[i], self->stats) == 0) {
            snprintf (error, error_size,
                      "%s cannot be both for clients and for statistics; give --stats another port "
                      "or path",
                      self->stats);
            return false;
        }
    return true;
}

bool leat_broker_config_finish (leat_broker_config_t *self, FILE *notes, char *error,
                                size_t error_size)
{
    if (!self->listen_count)
        leat_broker_config_listen (self, "tcp://127.0.0.1:5560");
    s_set_text (&self->stats, "tcp://127.0.0.1:5561");
    uint64_t record_size = self->limits.record_size;
    if (record_size <= LEAT_RECORD_SIZE_MAX) {
        s_follow (self, LEAT_LIMIT_batch_size, record_size + 8, notes);
        s_follow (self, LEAT_LIMIT_window_size, leat_batch_cost (self->limits.batch_size), notes);
    }
    if (!s_fits_together (self, error, error_size))
        return false;
    const char *why = leat_limits_check (&self->limits);
    if (why)
        s_say_misfit (self, why, error, error_size);
    return !why;
}

/* Words of `text` into lines that begin at column `indent`, where the cursor is already. */
static void s_wrap (FILE *file, const char *text, unsigned indent, unsigned columns)
{
    unsigned at = indent;
    while (*text) {
        unsigned word = (unsigned) strcspn (text, " ");
        if (at > indent && at + 1 + word >= columns) {
            fprintf (file, "\n%*s", (int) indent, "");
            at = indent;
        } else if (at > indent) {
            fputc (' ', file);
            at++;
        }
        fprintf (file, "%.*s", (int) word, text);
        at += word;
        text += word;
        text += strspn (text, " ");
    }
    fputc ('\n', file);
}

void leat_broker_config_print_limits (FILE *file, unsigned columns)
{
    enum { INDENT = 33 };
    fprintf (file, "%-19s %-12s %s\n", "NAME", "DEFAULT", "WHAT IT BOUNDS");
    for (size_t i = 0; i < LEAT_LIMIT_COUNT; i++) {
        char text[LEAT_UNITS_TEXT_SIZE];
        fprintf (file, "%-19s %-12s ", s_limits[i].name,
                 s_value_text (s_limits[i].unit, s_limits[i].value, text));
        s_wrap (file, s_limits[i].text, INDENT, columns > INDENT + 20 ? columns : INDENT + 20);
    }
}
