/* Assertions about our own mistakes; they stay on in release builds.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_WIRE_ASSERT_H
#define LEAT_WIRE_ASSERT_H

/* Ends the program with the condition, file and line on stderr when `condition` is false. For
 * invariants of our own code only: nothing that a peer, a disk or a user sends may reach one.
 * The condition must have no side effect. */
#define leat_assert(condition)                                                                     \
    do {                                                                                           \
        if (__builtin_expect (!(condition), 0))                                                    \
            leat_assert_failed (#condition, __FILE__, __LINE__);                                   \
    } while (0)

/* Prints and aborts. Called by leat_assert. */
_Noreturn void leat_assert_failed (const char *condition, const char *file, int line);

#endif
