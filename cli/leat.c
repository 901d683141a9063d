/* The leat program: a table of subcommands.
 * SPDX-License-Identifier: MPL-2.0 */

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/message.h"

typedef struct {
    const char *name;
    const char *program; /* with "leat" in front */
    const char *text;
    int (*run) (int argc, char **argv);
} command_t;

static const command_t s_commands[] = {
#define X(name, text) { #name, "leat " #name, text, leat_##name##_command },
    LEAT_COMMANDS (X)
#undef X
};

/* Names that mean something elsewhere in the documentation, or will. */
static const char *const s_later[] = { "dead", "top", "bench" };

#define S_COUNT(array) (sizeof (array) / sizeof *(array))

static void s_help (FILE *file)
{
    fputs ("Usage: leat COMMAND [OPTION...] [ARGUMENT...]\n"
           "Carries records from producers to whichever consumers can take them next.\n\n",
           file);
    for (size_t i = 0; i < S_COUNT (s_commands); i++)
        fprintf (file, "  leat %-9s %s\n", s_commands[i].name, s_commands[i].text);
    fputs ("\n`leat COMMAND --help` lists the options of a command, `man leat-COMMAND` explains "
           "them.\n"
           "`leat --version` prints the version.\n"
           "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no broker answered in time.\n",
           file);
}

static size_t s_least (size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many letters must be put in, taken out or changed to make one word of the other, by
 * Levenshtein's algorithm with one row; words that are too long are far away. */
static size_t s_distance (const char *a, const char *b)
{
    size_t row[32];
    size_t a_size = strlen (a);
    size_t b_size = strlen (b);
    if (a_size >= S_COUNT (row) || b_size >= S_COUNT (row))
        return S_COUNT (row);
    for (size_t j = 0; j <= b_size; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t above = row[j];
            size_t changed = diagonal + (a[i - 1] != b[j - 1]);
            row[j] = s_least (changed, s_least (above, row[j - 1]) + 1);
            diagonal = above;
        }
    }
    return row[b_size];
}

static int s_unknown (const char *name)
{
    for (size_t i = 0; i < S_COUNT (s_later); i++)
        if (strcmp (name, s_later[i]) == 0) {
            leat_message ("leat", "'%s' is not in this version; `leat --help` lists what is", name);
            return LEAT_EXIT_USAGE;
        }
    const command_t *nearest = NULL;
    size_t distance = 4;
    for (size_t i = 0; i < S_COUNT (s_commands); i++) {
        const char *known = s_commands[i].name;
        size_t changes = s_distance (name, known);
        /* A beginning such as "prod" is meant, however far away. */
        if (*name && strncmp (name, known, strlen (name)) == 0)
            changes = 0;
        if (changes < distance) {
            distance = changes;
            nearest = &s_commands[i];
        }
    }
    if (nearest)
        leat_message ("leat", "there is no command '%s'; did you mean 'leat %s'?", name,
                      nearest->name);
    else
        leat_message ("leat", "there is no command '%s'; `leat --help` lists them", name);
    return LEAT_EXIT_USAGE;
}

/* Whoever started us with stdin, stdout or stderr closed (`>&-`) shall be told that, rather than have
 * the next descriptor that is opened, a socket or an eventfd, take its number and swallow records.
 * What is opened here in its place fails with EBADF when it is used. */
static void s_reserve_standard_descriptors (void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl (fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        /* The lowest free number is this one; it stays open. */
        int opened = open ("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
        if (opened != fd)
            _exit (LEAT_EXIT_FAILED);
    }
}

/* At the end of the process, be it by argp after --help: what was written must have arrived. */
static void s_check_stdout (int status, void *program)
{
    (void) status;
    int failed = ferror (stdout);
    errno = 0;
    if (fflush (stdout) == 0 && !failed)
        return;
    leat_message (program, "cannot write to stdout%s%s", errno ? ": " : "",
                  errno ? strerror (errno) : "");
    _exit (LEAT_EXIT_FAILED);
}

/* `program` is static text. */
static void s_check_stdout_at_end (const char *program)
{
    if (on_exit (s_check_stdout, (void *) (uintptr_t) program) != 0)
        _exit (LEAT_EXIT_FAILED);
}

void leat_commands_begin (void)
{
    argp_program_version = "leat " LEAT_VERSION;
    argp_err_exit_status = LEAT_EXIT_USAGE;
}

int main (int argc, char **argv)
{
    static const char program[] = "leat";
    s_reserve_standard_descriptors ();
    if (argc < 2) {
        s_help (stderr);
        return LEAT_EXIT_USAGE;
    }
    const char *name = argv[1];
    char *swapped[] = { argv[0], argc > 2 ? argv[2] : NULL, (char *) (uintptr_t) "--help", NULL };
    if (strcmp (name, "help") == 0 && argc > 2) {
        name = argv[2];
        argc = 3;
        argv = swapped;
    }
    if (strcmp (name, "--help") == 0 || strcmp (name, "-h") == 0 || strcmp (name, "help") == 0) {
        s_check_stdout_at_end (program);
        s_help (stdout);
        return LEAT_EXIT_DONE;
    }
    if (strcmp (name, "--version") == 0 || strcmp (name, "-V") == 0) {
        s_check_stdout_at_end (program);
        puts ("leat " LEAT_VERSION);
        return LEAT_EXIT_DONE;
    }
    if (name[0] == '-') {
        leat_message ("leat",
                      "options follow a command, such as `leat produce %s`; "
                      "`leat --help` lists the commands",
                      name);
        return LEAT_EXIT_USAGE;
    }
    leat_commands_begin ();
    /* argp knows --help and -?, but who does not know it tries this, also behind the word that some
     * commands begin with. */
    for (int i = 2; i < argc && i < 4; i++) {
        if (strcmp (argv[i], "-h") == 0)
            argv[i] = (char *) (uintptr_t) "--help";
        if (argv[i][0] == '-')
            break;
    }
    for (size_t i = 0; i < S_COUNT (s_commands); i++)
        if (strcmp (name, s_commands[i].name) == 0) {
            s_check_stdout_at_end (s_commands[i].program);
            /* getopt and argp begin their messages with it. */
            argv[1] = (char *) (uintptr_t) s_commands[i].program;
            return s_commands[i].run (argc - 1, argv + 1);
        }
    return s_unknown (name);
}
