/* The tables of `leat stats`: what they show of the broker's JSON, and what they keep off the terminal.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/stats_view.h"

/* `text` is JSON with ' in place of ". */
static void s_shows (const char *text, const char *expected)
{
    json_error_t error;
    char quoted[2000];
    assert_true (strlen (text) < sizeof quoted);
    snprintf (quoted, sizeof quoted, "%s", text);
    for (char *at = quoted; (at = strchr (at, '\''));)
        *at = '"';
    json_t *stats = json_loads (quoted, 0, &error);
    if (!stats)
        fail_msg ("%s", error.text);
    char *shown = NULL;
    size_t size;
    FILE *file = open_memstream (&shown, &size);
    assert_non_null (file);
    leat_stats_view_print (stats, file, 0, false);
    fclose (file);
    json_decref (stats);
    assert_string_equal (shown, expected);
    free (shown);
}

#define NOTHING "-, up -, - sessions, - of - held\nlistens nowhere\n"

static void head (void **state)
{
    s_shows ("{}", NOTHING);
    s_shows ("{'version':'leat 1','uptime_ms':1000,'sessions':1,'stopping':true,"
             "'memory':{'held_size':0,'limit_size':1024},'endpoints':['tcp://a:1','ipc://b'],"
             "'durability_note':'none'}",
             "leat 1, up 1.0s, 1 session, 0B of 1.0KiB held, ending\n"
             "listens on tcp://a:1, ipc://b\nnone\n");
}

static void harmless (void **state)
{
    s_shows ("{'version':'\\u001b[2J','endpoints':['\\u009b2J\\n'],'durability_note':'\\u0007'}",
             "?[2J, up -, - sessions, - of - held\nlistens on ??2J?\n?\n");
    s_shows ("{'producers':[{'id':'\\u001b[2J','stream':'\\r'}]}",
             NOTHING "\nPRODUCER  STREAM  RECORDS  FLIGHT  CREDIT  RATE/s  HEARD\n"
                     "?[2J      ?             -       -       -       -      -\n");
}

/* Without a group all that is held is ready for the first one that comes. */
static void ready (void **state)
{
    s_shows (
        "{'streams':["
        "{'name':'alone','held':7,'bytes':1024,'ready':0,'in_flight':0,'delayed':0,'settled':0,"
        "'redelivered':0,'dead_lettered':0,'groups':[]},"
        "{'name':'usual','held':7,'bytes':1024,'ready':3,'in_flight':1,'delayed':2,'settled':4,"
        "'redelivered':5,'dead_lettered':6,'groups':[{'name':'default'}]},"
        "{'name':'split','held':7,'bytes':1024,'ready':3,'groups':[{'name':'a','ready':3}]}"
        "]}",
        NOTHING "\nSTREAM     HELD   BYTES  READY  FLIGHT  DELAYED  SETTLED  RETRIED  DEAD\n"
                "alone         7  1.0KiB      7       0        0        0        0     0\n"
                "usual         7  1.0KiB      3       1        2        4        5     6\n"
                "split         7  1.0KiB      3       -        -        -        -     -\n"
                "  group a                    3       -        -        -        -     -\n");
}

/* What expired of logs is told where there are any: of the stream all that went, of a group what it lost. */
static void logs (void **state)
{
    s_shows (
        "{'streams':["
        "{'name':'work','held':7,'retention':'work','expired':0,'groups':[{'name':'default'}]},"
        "{'name':'log','held':7,'retention':'log','expired':9,"
        "'groups':[{'name':'default','ready':1,'expired':2}]}"
        "]}",
        NOTHING
        "\nSTREAM           HELD  BYTES  READY  FLIGHT  DELAYED  SETTLED  RETRIED  DEAD  EXPIRED\n"
        "work                7      -      -       -        -        -        -     -        0\n"
        "log                 7      -      -       -        -        -        -     -        9\n"
        "  group default                   1       -        -        -        -     -        2\n");
}

/* Who is silent for longer than heartbeats take is marked; nobody is if the limits are not told. */
static void late (void **state)
{
#define LIMITS                                                                                     \
    "'limits':[{'name':'heartbeat_interval','value':1000},{'name':'heartbeat_timeout','value':"    \
    "5000}]"
#define CONSUMERS                                                                                  \
    "'consumers':[{'id':'a','heartbeat_age_ms':3000},{'id':'b','heartbeat_age_ms':3100}]"
    s_shows ("{" LIMITS "," CONSUMERS "}",
             NOTHING "\nCONSUMER  STREAM  GROUP  FLIGHT  CREDIT  RATE/s  SERVICE      HEARD\n"
                     "a         -       -           -       -       -        -       3.0s\n"
                     "b         -       -           -       -       -        -  3.1s late\n");
    s_shows ("{" CONSUMERS "}",
             NOTHING "\nCONSUMER  STREAM  GROUP  FLIGHT  CREDIT  RATE/s  SERVICE  HEARD\n"
                     "a         -       -           -       -       -        -   3.0s\n"
                     "b         -       -           -       -       -        -   3.1s\n");
    s_shows ("{" LIMITS ",'producers':[{'id':'a','heartbeat_age_ms':4200}]}",
             NOTHING "\nPRODUCER  STREAM  RECORDS  FLIGHT  CREDIT  RATE/s      HEARD\n"
                     "a         -             -       -       -       -  4.2s late\n");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (head), cmocka_unit_test (harmless), cmocka_unit_test (ready),
        cmocka_unit_test (logs), cmocka_unit_test (late),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
