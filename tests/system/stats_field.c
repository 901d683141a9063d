/* Reads the JSON of the stats socket from stdin and prints one field, for scripts.
 * SPDX-License-Identifier: MPL-2.0 */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* usage: stats_field LIST KEY=TEXT FIELD
 *        stats_field OBJECT FIELD
 * Prints FIELD of the first row of LIST whose KEY is TEXT, or of the object ("." is the whole). Exit
 * code 1 if there is no such thing. */

static const json_t *s_row (const json_t *list, const char *condition)
{
    const char *equals = strchr (condition, '=');
    for (size_t i = 0; equals && i < json_array_size (list); i++) {
        char key[64];
        const json_t *row = json_array_get (list, i);
        snprintf (key, sizeof key, "%.*s", (int) (equals - condition), condition);
        const char *text = json_string_value (json_object_get (row, key));
        if (text && strcmp (text, equals + 1) == 0)
            return row;
    }
    return NULL;
}

int main (int argc, char **argv)
{
    if (argc != 3 && argc != 4)
        return 2;
    json_error_t error;
    json_t *root = json_loadf (stdin, 0, &error);
    const json_t *object = strcmp (argv[1], ".") == 0 ? root : json_object_get (root, argv[1]);
    if (argc == 4)
        object = s_row (object, argv[2]);
    const json_t *field = json_object_get (object, argv[argc - 1]);
    char *text = field ? json_dumps (field, JSON_ENCODE_ANY) : NULL;
    if (text)
        puts (json_is_string (field) ? json_string_value (field) : text);
    int code = text ? 0 : 1;
    free (text);
    json_decref (root);
    return code;
}
