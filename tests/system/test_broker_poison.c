/* Records that kill or freeze whoever takes them, among ten thousand innocent ones that were
 * prefetched beside them.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "leat.h"
#include "tests/system/dealer.h"
#include "wire/alloc.h"

enum {
    RECORDS = 10000,
    CONSUMERS = 2,
    DEATHS_MAX = 100,
    BESIDE_MAX =
        10, /* deaths among others: one, and one for each REPORT that dies with its process */
    LINE_MAX_SIZE = 128,
    LOOK_MS = 20
};

static const char *s_program; /* poison_consumer */

typedef struct {
    hosted_t *broker;
    const char *mode;
    const char *poison;
    uint64_t poison_offset;
    int lines[2]; /* a pipe */
    pid_t consumers[CONSUMERS];
    uint32_t deaths; /* or freezes */
    uint32_t handled[RECORDS];
    uint32_t poison_attempt; /* of its last delivery */
    uint32_t poison_alone;   /* deliveries of the poison as a suspect */
    uint32_t poison_beside;  /* and among all others, as if nobody had started it */
    char text[4096];         /* read, not looked at yet */
    size_t text_size;
} scene_t;

/* ---- consumers ------------------------------------------------------------------------------- */

static void s_spawn (scene_t *scene, pid_t *pid)
{
    char *argv[] = { (char *) s_program, (char *) scene->broker->endpoint, (char *) scene->mode,
                     NULL };
    posix_spawn_file_actions_t actions;
    assert_int_equal (posix_spawn_file_actions_init (&actions), 0);
    assert_int_equal (posix_spawn_file_actions_adddup2 (&actions, scene->lines[1], STDOUT_FILENO),
                      0);
    assert_int_equal (posix_spawn (pid, s_program, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy (&actions);
}

/* Another one for each that was killed or stopped. A stopped one stays as it is until the end. */
static void s_look_after (scene_t *scene, pid_t *frozen, uint32_t *frozen_count)
{
    for (int i = 0; i < CONSUMERS; i++) {
        int status;
        pid_t pid = waitpid (scene->consumers[i], &status, WNOHANG | WUNTRACED);
        if (pid <= 0)
            continue;
        assert_true (WIFSTOPPED (status) || (WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL));
        assert_true (++scene->deaths < DEATHS_MAX);
        if (WIFSTOPPED (status))
            frozen[(*frozen_count)++] = pid;
        s_spawn (scene, &scene->consumers[i]);
    }
}

static void s_end (const scene_t *scene, const pid_t *frozen, uint32_t frozen_count)
{
    for (int i = 0; i < CONSUMERS; i++) {
        kill (scene->consumers[i], SIGKILL);
        waitpid (scene->consumers[i], NULL, 0);
    }
    for (uint32_t i = 0; i < frozen_count; i++) {
        kill (frozen[i], SIGKILL);
        waitpid (frozen[i], NULL, 0);
    }
}

/* ---- what they write ------------------------------------------------------------------------- */

static void s_body (const scene_t *scene, uint64_t offset, char *text)
{
    if (offset == scene->poison_offset)
        snprintf (text, LINE_MAX_SIZE, "%s", scene->poison);
    else
        snprintf (text, LINE_MAX_SIZE, "job-%llu", (unsigned long long) offset);
}

static void s_see_line (scene_t *scene, const char *line)
{
    char *end;
    char expected[LINE_MAX_SIZE];
    uint64_t offset = strtoull (line, &end, 10);
    unsigned long attempt = strtoul (end, &end, 10);
    unsigned long redelivered = strtoul (end, &end, 10);
    const char *body = end + 1;
    assert_true (*end == ' ' && offset < RECORDS);
    s_body (scene, offset, expected);
    assert_string_equal (body, expected);
    scene->handled[offset]++;
    if (offset != scene->poison_offset) {
        /* The promise: nobody pays for having been beside it. That it was handled before may be unknown,
         * since a REPORT may die with its process before it is on the wire. */
        assert_int_equal (attempt, 1);
    } else if (redelivered) {
        /* It is charged each time, and before only if its consumer happened to hold nothing else. */
        bool is_first = scene->poison_alone++ == 0;
        assert_in_range (attempt, scene->poison_attempt + !is_first, scene->poison_attempt + 1);
        scene->poison_attempt = (uint32_t) attempt;
    } else {
        assert_int_equal (attempt, 1);
        assert_true (++scene->poison_beside <= BESIDE_MAX);
        scene->poison_attempt = 1;
    }
}

/* False if there was nothing to read. */
static bool s_read_lines (scene_t *scene)
{
    struct pollfd item = { .fd = scene->lines[0], .events = POLLIN };
    if (poll (&item, 1, LOOK_MS) <= 0)
        return false;
    ssize_t size = read (scene->lines[0], scene->text + scene->text_size,
                         sizeof scene->text - scene->text_size - 1);
    assert_true (size > 0);
    scene->text_size += (size_t) size;
    scene->text[scene->text_size] = '\0';
    char *begin = scene->text;
    char *end;
    while ((end = strchr (begin, '\n'))) {
        *end = '\0';
        s_see_line (scene, begin);
        begin = end + 1;
    }
    scene->text_size -= (size_t) (begin - scene->text);
    memmove (scene->text, begin, scene->text_size);
    return true;
}

/* ---- the story ------------------------------------------------------------------------------- */

static void s_publish (const scene_t *scene, leat_client_t *client)
{
    leat_producer_t *producer = leat_producer_new (client, "jobs", NULL);
    assert_non_null (producer);
    for (uint64_t offset = 0; offset < RECORDS; offset++) {
        char text[LINE_MAX_SIZE];
        s_body (scene, offset, text);
        assert_int_equal (leat_producer_send (producer, text, strlen (text)), 0);
    }
    assert_int_equal (leat_producer_flush (producer, DEALER_PATIENCE_MS), 0);
    leat_producer_destroy (&producer);
}

static void s_expect_dead_letter (const scene_t *scene, leat_client_t *client)
{
    leat_consumer_t *consumer = leat_consumer_new (client, "jobs.dead", NULL);
    assert_non_null (consumer);
    leat_delivered_t delivered;
    assert_int_equal (leat_consumer_receive (consumer, &delivered, DEALER_PATIENCE_MS), 0);
    assert_int_equal (delivered.record.body_size, strlen (scene->poison));
    assert_memory_equal (delivered.record.body, scene->poison, strlen (scene->poison));
    assert_int_equal (leat_consumer_ack (consumer, &delivered), 0);
    leat_consumer_ask_empty (consumer);
    assert_int_equal (leat_consumer_wait_empty (consumer, DEALER_PATIENCE_MS), 0);
    leat_consumer_destroy (&consumer);
}

static bool s_is_over (const scene_t *scene, uint64_t now_ms, uint64_t *looked_ms)
{
    if (now_ms < *looked_ms + 100)
        return false;
    *looked_ms = now_ms;
    return hosted_figure (scene->broker, "counters.records_settled") == RECORDS - 1
           && hosted_figure (scene->broker, "counters.records_dead") == 1;
}

static uint64_t s_now_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;
}

static void s_play (const char *mode, const char *poison, uint64_t poison_offset)
{
    leat_broker_options_t options;
    hosted_options (&options);
    options.limits.heartbeat_interval = 200;
    options.limits.heartbeat_timeout = 1000;
    scene_t *scene = leat_alloc (sizeof *scene);
    scene->mode = mode;
    scene->poison = poison;
    scene->poison_offset = poison_offset;
    scene->broker = hosted_begin (&options);
    assert_int_equal (pipe (scene->lines), 0);
    leat_client_t *client =
        leat_client_new (&(leat_client_options_t){ .endpoints = scene->broker->endpoint });
    assert_non_null (client);
    s_publish (scene, client);

    pid_t frozen[DEATHS_MAX];
    uint32_t frozen_count = 0;
    for (int i = 0; i < CONSUMERS; i++)
        s_spawn (scene, &scene->consumers[i]);
    uint64_t begin_ms = s_now_ms ();
    uint64_t looked_ms = begin_ms;
    bool is_over = false;
    bool is_read = false;
    /* The broker may know of the last death before its parent does, and before its line was read. */
    while (!is_over || !is_read || scene->deaths < scene->poison_alone + scene->poison_beside) {
        is_over = is_over || s_is_over (scene, s_now_ms (), &looked_ms);
        s_look_after (scene, frozen, &frozen_count);
        is_read = !s_read_lines (scene);
        /* Ten thousand suspects, one at a time, a heartbeat each, would take an hour. */
        assert_true (s_now_ms () < begin_ms + 60000);
    }
    printf ("%s, %s: %llu ms, %u deaths, %u of them beside others\n", mode, poison,
            (unsigned long long) (s_now_ms () - begin_ms), scene->deaths, scene->poison_beside);
    s_end (scene, frozen, frozen_count);
    for (uint64_t offset = 0; offset < RECORDS; offset++)
        assert_true (scene->handled[offset] > 0);
    assert_int_equal (scene->poison_attempt, options.limits.attempts);
    assert_int_equal (scene->deaths, scene->poison_alone + scene->poison_beside);
    s_expect_dead_letter (scene, client);
    leat_client_destroy (&client);
    hosted_end (&scene->broker);
    close (scene->lines[0]);
    close (scene->lines[1]);
    free (scene);
}

static void test_kills_one_by_one (void **state)
{
    s_play ("one", "kill", RECORDS / 3);
}

static void test_kills_in_batches (void **state)
{
    s_play ("batch", "kill", RECORDS / 2);
}

static void test_freezes_one_by_one (void **state)
{
    s_play ("one", "freeze", 0);
}

static void test_freezes_in_batches (void **state)
{
    s_play ("batch", "freeze", RECORDS - 1);
}

int main (int argc, char **argv)
{
    if (argc != 2)
        return 2;
    s_program = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_kills_one_by_one),
        cmocka_unit_test (test_kills_in_batches),
        cmocka_unit_test (test_freezes_one_by_one),
        cmocka_unit_test (test_freezes_in_batches),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
