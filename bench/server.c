/* Starts other brokers and ends them.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/contender.h"
#include "bench/folder.h"
#include "bench/process_usage.h"
#include "wire/assert.h"

/* RabbitMQ takes 4 s where nothing else runs. */
#define S_START_NS UINT64_C (100000000000)
#define S_END_NS UINT64_C (6000000000)
#define S_ARGUMENTS_MAX 32

typedef struct {
    const leat_bench_server_t *server;
    leat_bench_round_t *round;
    char path[256];
    char directory[LEAT_BENCH_FOLDER_PATH];
    unsigned ports[3];
    pid_t pid; /* 0: does not run */
    int signals;
} s_run_t;

bool leat_bench_server_find (const char *program, char *path, size_t size)
{
    const char *paths = getenv ("PATH");
    char folders[4096];
    snprintf (folders, sizeof folders, "%s:/usr/sbin:/usr/bin:/usr/lib/rabbitmq/bin",
              paths ? paths : "");
    for (const char *folder = folders; *folder;) {
        size_t length = strcspn (folder, ":");
        snprintf (path, size, "%.*s/%s", (int) length, folder, program);
        if (length && access (path, X_OK) == 0)
            return true;
        folder += length + (folder[length] == ':');
    }
    return false;
}

bool leat_bench_server_installed (const char *program)
{
    char path[256];
    return !program || leat_bench_server_find (program, path, sizeof path);
}

unsigned leat_bench_server_port (const leat_bench_round_t *round)
{
    const char *colon = strrchr (round->front, ':');
    return colon ? (unsigned) strtoul (colon + 1, NULL, 10) : 0;
}

int leat_bench_server_connect (unsigned port)
{
    int one = 1;
    int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons ((uint16_t) port),
                                   .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
    if (fd < 0)
        return -1;
    if (connect (fd, (const struct sockaddr *) &address, sizeof address) != 0) {
        int error = errno;
        close (fd);
        errno = error;
        return -1;
    }
    setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

/* Three ports that nobody has; all are held until all are known, so that they differ. */
static bool s_choose_ports (unsigned ports[3])
{
    int fds[3] = { -1, -1, -1 };
    bool good = true;
    for (int i = 0; i < 3; i++) {
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
        socklen_t size = sizeof address;
        fds[i] = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        good = good && fds[i] >= 0 && bind (fds[i], (struct sockaddr *) &address, size) == 0
               && getsockname (fds[i], (struct sockaddr *) &address, &size) == 0;
        ports[i] = ntohs (address.sin_port);
    }
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close (fds[i]);
    return good;
}

/* The text with what {...} stands for, allocated. */
static char *s_fill (const s_run_t *self, const char *text)
{
    static const char *const names[] = { "{PORT}", "{PORT2}", "{PORT3}", "{DIR}", "{PID}" };
    enum { PORTS = 3, NAMES = 5 };
    char numbers[NAMES][24];
    const char *values[NAMES] = { numbers[0], numbers[1], numbers[2], self->directory, numbers[4] };
    for (int i = 0; i < PORTS; i++)
        snprintf (numbers[i], sizeof numbers[i], "%u", self->ports[i]);
    snprintf (numbers[4], sizeof numbers[4], "%ld", (long) getpid ());

    char *filled = NULL;
    size_t size = 0;
    FILE *out = open_memstream (&filled, &size);
    leat_assert (out);
    while (*text) {
        int name = 0;
        while (name < NAMES && strncmp (text, names[name], strlen (names[name])) != 0)
            name++;
        if (name == NAMES) {
            fputc (*text++, out);
        } else {
            fputs (values[name], out);
            text += strlen (names[name]);
        }
    }
    fclose (out);
    return filled;
}

static bool s_start (s_run_t *self)
{
    char *arguments[S_ARGUMENTS_MAX] = { self->path };
    for (int i = 0; i + 2 < S_ARGUMENTS_MAX && self->server->arguments[i]; i++)
        arguments[i + 1] = s_fill (self, self->server->arguments[i]);
    char *variables[S_ARGUMENTS_MAX] = { NULL };
    for (int i = 0;
         i + 1 < S_ARGUMENTS_MAX && self->server->variables && self->server->variables[i]; i++)
        variables[i] = s_fill (self, self->server->variables[i]);

    pid_t parent = getpid ();
    self->pid = fork ();
    if (self->pid == 0) {
        sigset_t none;
        sigemptyset (&none);
        sigprocmask (SIG_SETMASK, &none, NULL);
        signal (SIGPIPE, SIG_DFL);
        setpgid (0, 0);
        prctl (PR_SET_PDEATHSIG, SIGKILL);
        if (getppid () != parent || chdir (self->directory) != 0)
            _exit (1);
        int log = open ("log", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        int nothing = open ("/dev/null", O_RDONLY | O_CLOEXEC);
        if (log < 0 || nothing < 0 || dup2 (nothing, 0) < 0 || dup2 (log, 1) < 0
            || dup2 (log, 2) < 0)
            _exit (1);
        for (int i = 0; variables[i]; i++)
            putenv (variables[i]);
        execv (self->path, arguments);
        _exit (127);
    }
    for (int i = 1; arguments[i]; i++)
        free (arguments[i]);
    for (int i = 0; variables[i]; i++)
        free (variables[i]);
    if (self->pid < 0)
        self->pid = 0;
    else
        setpgid (self->pid, self->pid); /* whichever of both comes first */
    return self->pid > 0;
}

/* What the program writes when it is asked for its version, up to `size` bytes with an end. */
static void s_ask_version (s_run_t *self, char *text, size_t size)
{
    char *const arguments[] = { self->path, (char *) self->server->version, NULL };
    posix_spawn_file_actions_t actions;
    int said[2];
    pid_t pid;
    size_t used = 0;
    ssize_t got;
    text[0] = '\0';
    if (pipe2 (said, O_CLOEXEC) != 0)
        return;
    posix_spawn_file_actions_init (&actions);
    posix_spawn_file_actions_adddup2 (&actions, said[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2 (&actions, said[1], STDERR_FILENO);
    int error = posix_spawn (&pid, self->path, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy (&actions);
    close (said[1]);
    while (!error && used + 1 < size && (got = read (said[0], text + used, size - 1 - used)) > 0)
        used += (size_t) got;
    text[used] = '\0';
    close (said[0]);
    if (!error)
        waitpid (pid, NULL, 0);
}

/* Whatever looks like a version in that. */
static void s_note_version (s_run_t *self)
{
    char text[256];
    s_ask_version (self, text, sizeof text);
    const char *digits = text + strcspn (text, "0123456789");
    snprintf (self->round->version, sizeof self->round->version, "%.*s",
              (int) strspn (digits, "0123456789."), digits);
}

static bool s_write_config (const s_run_t *self)
{
    char name[sizeof self->directory + 16];
    snprintf (name, sizeof name, "%s/config", self->directory);
    FILE *file = fopen (name, "we");
    bool good = file && fputs (self->server->config, file) >= 0;
    return file && fclose (file) == 0 && good;
}

/* The directory, with what has to be in it. */
static bool s_prepare (s_run_t *self)
{
    const leat_store_options_t *store = self->round->plan.store;
    const char *temporary = getenv ("TMPDIR");
    if (store) {
        /* The server gets it as its current directory, and as a path. */
        if (mkdir (store->path, 0700) != 0 || !realpath (store->path, self->directory))
            return false;
    } else {
        snprintf (self->directory, sizeof self->directory, "%s/leat-bench-XXXXXX",
                  temporary && temporary[0] ? temporary : "/tmp");
        if (!mkdtemp (self->directory))
            return false;
    }
    return !self->server->config || s_write_config (self);
}

/* Waits for a signal, no longer than that. Returns whether we are to end; takes the server's end. */
static bool s_wait (s_run_t *self, int timeout_ms)
{
    struct pollfd polled = { .fd = self->signals, .events = POLLIN };
    struct signalfd_siginfo info;
    bool told = false;
    poll (&polled, 1, timeout_ms);
    while (read (self->signals, &info, sizeof info) == (ssize_t) sizeof info)
        told = told || info.ssi_signo != SIGCHLD;
    if (self->pid && waitpid (self->pid, NULL, WNOHANG) == self->pid)
        self->pid = 0;
    return told;
}

/* Tells what the server said last. */
static int s_failed (s_run_t *self, const char *what)
{
    char name[sizeof self->directory + 16];
    char text[256] = "";
    snprintf (name, sizeof name, "%s/log", self->directory);
    FILE *file = fopen (name, "re");
    if (file) {
        if (fseek (file, -(long) (sizeof text - 1), SEEK_END) != 0)
            rewind (file);
        size_t size = fread (text, 1, sizeof text - 1, file);
        for (size_t i = 0; i < size; i++)
            if (text[i] < ' ')
                text[i] = ' ';
        fclose (file);
    }
    leat_bench_round_fail (self->round, "%s %s%s%s", self->path, what, text[0] ? ": " : "", text);
    return 1;
}

/* Until the port takes connections. */
static bool s_await (s_run_t *self, bool *told)
{
    uint64_t deadline_ns = leat_bench_now_ns () + S_START_NS;
    while (self->pid && !*told && leat_bench_now_ns () < deadline_ns) {
        int fd = leat_bench_server_connect (self->ports[0]);
        if (fd >= 0) {
            close (fd);
            return true;
        }
        *told = s_wait (self, 20);
    }
    return false;
}

/* The whole group, as a server may have helpers. After a failure nobody needs what it would still write,
 * and somebody may wait at a terminal. */
static void s_end (s_run_t *self)
{
    pid_t group = self->pid;
    uint64_t deadline_ns = leat_bench_now_ns () + (self->round->error[0] ? 0 : S_END_NS);
    if (self->pid && !self->round->error[0])
        kill (-group, SIGTERM);
    while (self->pid && leat_bench_now_ns () < deadline_ns)
        s_wait (self, 100);
    if (group)
        kill (-group, SIGKILL);
    while (self->pid)
        s_wait (self, 100);
}

int leat_bench_server_run (const leat_bench_server_t *self, leat_bench_round_t *round, int ready)
{
    s_run_t run = { .server = self, .round = round };
    if (!leat_bench_server_find (self->program, run.path, sizeof run.path)) {
        leat_bench_round_fail (round, "%s is not installed", self->program);
        return 1;
    }
    if (self->version)
        s_note_version (&run); /* before SIGCHLD is ours */
    sigset_t signals;
    sigemptyset (&signals);
    sigaddset (&signals, SIGTERM);
    sigaddset (&signals, SIGINT); /* of a terminal, to its whole process group */
    sigaddset (&signals, SIGCHLD);
    sigprocmask (SIG_BLOCK, &signals, NULL);
    run.signals = signalfd (-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (run.signals < 0 || !s_choose_ports (run.ports) || !s_prepare (&run)) {
        leat_bench_round_fail (round, "cannot prepare %s: %s", self->program, strerror (errno));
        return 1;
    }
    snprintf (round->front, sizeof round->front, "127.0.0.1:%u", run.ports[0]);
    snprintf (round->back, sizeof round->back, "%s", round->front);
    bool told = false;
    int rc = 0;
    if (!s_start (&run) || (!s_await (&run, &told) && !told)) {
        rc = s_failed (&run, "did not start");
    } else if (!told) {
        round->start_cpu_ns = leat_bench_process_cpu_ns (run.pid);
        leat_bench_ready (ready);
    }
    while (rc == 0 && run.pid && !told)
        told = s_wait (&run, -1);
    if (rc == 0 && !told)
        rc = s_failed (&run, "ended by itself");
    s_end (&run);
    if (!round->plan.store)
        leat_bench_folder_remove (run.directory);
    close (run.signals);
    return rc;
}
