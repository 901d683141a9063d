/* Which endpoints a broker takes, and what it says of the others.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "broker/io/endpoint.h"

static void s_expect (const char *endpoint, bool insecure, const char *resolved)
{
    char error[512] = "";
    char into[LEAT_ENDPOINT_SIZE];
    if (leat_endpoint_check (endpoint, insecure, into, error, sizeof error))
        fail_msg ("%s", error);
    assert_string_equal (into, resolved);
}

/* Each sentence names the endpoint, and says the word. */
static void s_expect_error (const char *endpoint, bool insecure, const char *word)
{
    char error[512] = "";
    char into[LEAT_ENDPOINT_SIZE];
    assert_int_equal (leat_endpoint_check (endpoint, insecure, into, error, sizeof error), -1);
    if (!strstr (error, word) || !strstr (error, endpoint))
        fail_msg ("'%s' does not say '%s' or '%s'", error, word, endpoint);
}

static void test_loopback_is_taken (void **state)
{
    s_expect ("tcp://127.0.0.1:5560", false, "tcp://127.0.0.1:5560");
    s_expect ("tcp://127.200.3.4:1", false, "tcp://127.200.3.4:1");
    s_expect ("tcp://127.0.0.1:*", false, "tcp://127.0.0.1:*");
    s_expect ("tcp://localhost:65535", false, "tcp://127.0.0.1:65535");
    s_expect ("tcp://[::1]:5560", false, "tcp://[::1]:5560");
    s_expect ("ipc:///tmp/leat-of-nobody", false, "ipc:///tmp/leat-of-nobody");
    s_expect ("ipc://@leat", false, "ipc://@leat");
    assert_true (leat_endpoint_is_ipv6 ("tcp://[::1]:5560"));
    assert_false (leat_endpoint_is_ipv6 ("tcp://127.0.0.1:5560"));
}

static void test_what_others_reach_is_refused_unless_insecure (void **state)
{
    static const char *const endpoints[] = { "tcp://0.0.0.0:5560",      "tcp://*:5560",
                                             "tcp://192.168.1.1:5560",  "tcp://[::]:5560",
                                             "tcp://[2001:db8::1]:556", "tcp://eth0:5560",
                                             "tcp://128.0.0.1:5560",    "tcp://example.org:5560" };
    for (size_t index = 0; index < sizeof endpoints / sizeof *endpoints; index++) {
        s_expect_error (endpoints[index], false, "--insecure");
        s_expect_error (endpoints[index], false, "take other clients' identities");
        s_expect (endpoints[index], true, endpoints[index]);
    }
}

static void test_what_is_no_endpoint (void **state)
{
    s_expect_error ("127.0.0.1:5560", false, "tcp://ADDRESS:PORT");
    s_expect_error ("udp://127.0.0.1:5560", false, "tcp://ADDRESS:PORT");
    s_expect_error ("inproc://broker", false, "ipc://PATH");
    s_expect_error ("", false, "ipc://PATH");
    s_expect_error ("tcp://", true, "no address and port");
    s_expect_error ("tcp://127.0.0.1", true, "no address and port");
    s_expect_error ("tcp://:5560", true, "no address and port");
    s_expect_error ("tcp://::1:5560", true, "no address and port");
    s_expect_error ("tcp://[::1:5560", true, "no address and port");
    s_expect_error ("tcp://[::x]:5560", true, "no address and port");
    s_expect_error ("tcp://127.0.0.1;1.2.3.4:5560", true, "no address and port");
    s_expect_error ("tcp://127.0.0.1:", false, "number from 1 to 65535");
    s_expect_error ("tcp://127.0.0.1:65536", false, "number from 1 to 65535");
    s_expect_error ("tcp://127.0.0.1:-1", false, "number from 1 to 65535");
    s_expect_error ("tcp://127.0.0.1:55x", false, "number from 1 to 65535");
    s_expect_error ("ipc://", false, "names no file");
    s_expect_error ("ipc://@", false, "names no file");
}

static void test_too_long (void **state)
{
    char endpoint[LEAT_ENDPOINT_SIZE + 100];
    char error[512];
    char into[LEAT_ENDPOINT_SIZE];
    memset (endpoint, 'x', sizeof endpoint);
    memcpy (endpoint, "ipc:///", 7);
    endpoint[6 + 107] = '\0';
    s_expect (endpoint, false, endpoint);
    endpoint[6 + 107] = 'x';
    endpoint[6 + 108] = '\0';
    s_expect_error (endpoint, false, "at most 107 bytes and this one 108");
    endpoint[6 + 108] = 'x';
    endpoint[sizeof endpoint - 1] = '\0';
    assert_int_equal (leat_endpoint_check (endpoint, false, into, error, sizeof error), -1);
    assert_non_null (strstr (error, "at most 255 bytes"));
}

static void test_a_file_is_not_deleted (void **state)
{
    s_expect_error ("ipc:///etc/passwd", false, "not a socket");
    s_expect_error ("ipc:///etc", false, "not a socket");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_loopback_is_taken),
        cmocka_unit_test (test_what_others_reach_is_refused_unless_insecure),
        cmocka_unit_test (test_what_is_no_endpoint),
        cmocka_unit_test (test_too_long),
        cmocka_unit_test (test_a_file_is_not_deleted),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
