/* What a broker is told by flags and by its file: which one wins, what follows, what is refused.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/broker_config.h"

static char s_error[1024];

/* Loads a file with this text; true as leat_broker_config_load. */
static bool s_load (leat_broker_config_t *config, const char *text, size_t size)
{
    char path[] = "/tmp/leat-config-XXXXXX";
    int fd = mkstemp (path);
    assert_true (fd >= 0);
    assert_true (write (fd, text, size) == (ssize_t) size);
    close (fd);
    bool fine = leat_broker_config_load (config, path, s_error, sizeof s_error);
    if (!fine)
        assert_non_null (strstr (s_error, path));
    unlink (path);
    return fine;
}

/* As by a flag. */
static bool s_limit (leat_broker_config_t *config, const char *name, const char *value)
{
    char said[100];
    snprintf (said, sizeof said, "--limit %s=%s", name, value);
    return leat_broker_config_limit (config, true, name, value, said, s_error, sizeof s_error);
}

static void s_refuses (const char *text, const char *part)
{
    leat_broker_config_t *config = leat_broker_config_new ();
    assert_false (s_load (config, text, strlen (text)));
    if (!strstr (s_error, part))
        fail_msg ("'%s' does not say '%s'", s_error, part);
    leat_broker_config_destroy (&config);
    assert_null (config);
}

static void defaults (void **state)
{
    leat_broker_config_t *config = leat_broker_config_new ();
    leat_limits_t limits;
    leat_limits_default (&limits);
    assert_true (leat_broker_config_finish (config, NULL, s_error, sizeof s_error));
    assert_int_equal (config->listen_count, 1);
    assert_string_equal (config->listens[0], "tcp://127.0.0.1:5560");
    assert_null (config->listens[1]);
    assert_string_equal (config->stats, "tcp://127.0.0.1:5561");
    assert_false (config->insecure);
    assert_memory_equal (&config->limits, &limits, sizeof limits);
    leat_broker_config_destroy (&config);
    leat_broker_config_destroy (&config);
}

static void file (void **state)
{
    static const char text[] = "# a comment\n"
                               "listen = tcp://127.0.0.1:1\n"
                               "listen = ipc:///run/leat\n"
                               "stats = tcp://127.0.0.1:2\n"
                               "insecure = yes\n"
                               "limits\n"
                               "    memory_size = 2GiB\n"
                               "    heartbeat-timeout = 10s\n"
                               "    sessions = 7\n";
    leat_broker_config_t *config = leat_broker_config_new ();
    assert_true (s_load (config, text, sizeof text - 1));
    assert_true (leat_broker_config_finish (config, NULL, s_error, sizeof s_error));
    assert_int_equal (config->listen_count, 2);
    assert_string_equal (config->listens[0], "tcp://127.0.0.1:1");
    assert_string_equal (config->listens[1], "ipc:///run/leat");
    assert_string_equal (config->stats, "tcp://127.0.0.1:2");
    assert_true (config->insecure);
    assert_true (config->limits.memory_size == UINT64_C (2) << 30);
    assert_true (config->limits.heartbeat_timeout == 10000);
    assert_true (config->limits.sessions == 7);
    leat_broker_config_destroy (&config);
}

/* What a flag has said is not changed by the file. */
static void flags_win (void **state)
{
    static const char text[] = "listen = tcp://127.0.0.1:1\n"
                               "stats = tcp://127.0.0.1:2\n"
                               "limits\n"
                               "    sessions = 7\n"
                               "    streams = 8\n";
    leat_broker_config_t *config = leat_broker_config_new ();
    leat_broker_config_listen (config, "tcp://127.0.0.1:3");
    config->listens_fixed = true;
    config->stats = strdup ("tcp://127.0.0.1:4");
    assert_true (s_limit (config, "sessions", "8"));
    assert_true (s_limit (config, "sessions", "9"));
    assert_true (s_load (config, text, sizeof text - 1));
    assert_int_equal (config->listen_count, 1);
    assert_string_equal (config->listens[0], "tcp://127.0.0.1:3");
    assert_string_equal (config->stats, "tcp://127.0.0.1:4");
    assert_true (config->limits.sessions == 9);
    assert_true (config->limits.streams == 8);
    leat_broker_config_destroy (&config);
}

static void refused (void **state)
{
    s_refuses ("lissten = x\n", "no key 'lissten'");
    s_refuses ("limits\n    fast = 3\n", "no limit 'fast'");
    s_refuses ("limits\n    memory_size = 3\n", "limit memory_size = 3: the unit is missing");
    s_refuses ("limits\n    sessions = 3s\n", "digits");
    s_refuses ("listen\n", "listen = VALUE");
    s_refuses ("listen = x\n    more = y\n", "listen = VALUE");
    s_refuses ("insecure = maybe\n", "yes or no");
    s_refuses ("listen = tcp://127.0.0.1:1\n  stats = x\n", "line 2");
    leat_broker_config_t *config = leat_broker_config_new ();
    assert_false (s_load (config, "a\0b\n", 4));
    assert_non_null (strstr (s_error, "not a text file"));
    assert_false (leat_broker_config_load (config, "/nowhere/at/all", s_error, sizeof s_error));
    assert_non_null (strstr (s_error, "No such file"));
    assert_false (leat_broker_config_load (config, "/", s_error, sizeof s_error));
    leat_broker_config_destroy (&config);
}

/* Limits that must hold a record follow it, and say so; those that were set are left alone. */
static void follow (void **state)
{
    char *notes = NULL;
    size_t size = 0;
    FILE *stream = open_memstream (&notes, &size);
    assert_non_null (stream);
    leat_broker_config_t *config = leat_broker_config_new ();
    assert_true (s_limit (config, "record_size", "64MiB"));
    assert_true (leat_broker_config_finish (config, stream, s_error, sizeof s_error));
    fclose (stream);
    assert_true (config->limits.batch_size == 67108864 + 8);
    assert_true (config->limits.window_size == 67108864 + 8 + 512);
    assert_non_null (strstr (notes, "limit batch_size follows the largest record: 67108872B"));
    assert_non_null (strstr (notes, "limit window_size follows"));
    free (notes);
    leat_broker_config_destroy (&config);

    config = leat_broker_config_new ();
    assert_true (s_limit (config, "record_size", "2MiB"));
    assert_true (s_limit (config, "batch-size", "1MiB"));
    assert_false (leat_broker_config_finish (config, NULL, s_error, sizeof s_error));
    assert_non_null (strstr (s_error, "batch_size must hold"));
    leat_broker_config_destroy (&config);

    config = leat_broker_config_new ();
    assert_true (s_limit (config, "record_size", "65MiB"));
    assert_false (leat_broker_config_finish (config, NULL, s_error, sizeof s_error));
    assert_non_null (strstr (s_error, "64MiB"));
    leat_broker_config_destroy (&config);
}

/* What is said of limits that do not fit names what was typed, and what it has to fit. */
static void misfits (void **state)
{
    static const char *const cases[][3] = {
        { "batch_size", "1KiB",
          "--limit batch_size=1KiB: batch_size must hold a record of record_size and 8 bytes more "
          "(record_size is 1MiB)" },
        { "record_size", "65MiB",
          "--limit record_size=65MiB: record_size must be from 1 byte to 64MiB" },
        { "memory_size", "1PiB", "--limit memory_size=1PiB: " },
        { "memory_size", "1024TiB", "--limit memory_size=1024TiB: a limit is above 2^48" },
        { "attempts", "0", "--limit attempts=0: sessions, identities" },
        { "heartbeat-interval", "4s",
          "--limit heartbeat-interval=4s: heartbeat_timeout must be at least twice "
          "heartbeat_interval, and at most a day (heartbeat_timeout is 5s)" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        leat_broker_config_t *config = leat_broker_config_new ();
        bool fine = s_limit (config, "groups", "7") && s_limit (config, cases[i][0], cases[i][1])
                    && leat_broker_config_finish (config, NULL, s_error, sizeof s_error);
        assert_false (fine);
        if (strncmp (s_error, cases[i][2], strlen (cases[i][2])) != 0)
            fail_msg ("'%s' does not begin with '%s'", s_error, cases[i][2]);
        leat_broker_config_destroy (&config);
    }
}

/* The table names every limit, and no line of it is wider than the terminal. */
static void table (void **state)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream (&text, &size);
    assert_non_null (stream);
    leat_broker_config_print_limits (stream, 80);
    fclose (stream);
#define X(name, value, unit, words) assert_non_null (strstr (text, "\n" #name " "));
    LEAT_LIMITS (X)
#undef X
    for (const char *line = text; *line;) {
        size_t length = strcspn (line, "\n");
        assert_true (length < 80);
        line += length + 1;
    }
    free (text);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (defaults), cmocka_unit_test (file),   cmocka_unit_test (flags_win),
        cmocka_unit_test (refused),  cmocka_unit_test (follow), cmocka_unit_test (misfits),
        cmocka_unit_test (table),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
