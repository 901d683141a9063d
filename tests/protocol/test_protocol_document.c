/* docs/protocol.md against the codec: commands, fields, types, values, codes, and the worked exchange
 * byte by byte. Runs in the root of the tree.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/batch.h"
#include "wire/command.h"
#include "wire/crc32c.h"
#include "wire/record.h"

/* --- the document ------------------------------------------------------------------------------ */

enum { LINES_MAX = 8000 };

static struct {
    char *text;
    char *lines[LINES_MAX];
    size_t count;
} s_document;

static int s_read_document (void **state)
{
    static const char path[] = "docs/protocol.md";
    FILE *file = fopen (path, "rb");
    if (!file) {
        perror (path);
        return -1;
    }
    size_t capacity = 1 << 20;
    s_document.text = calloc (1, capacity);
    size_t size = fread (s_document.text, 1, capacity - 1, file);
    fclose (file);
    for (char *line = s_document.text; line < s_document.text + size;) {
        char *end = strchr (line, '\n');
        if (!end || s_document.count == LINES_MAX)
            return -1;
        *end = '\0';
        s_document.lines[s_document.count++] = line;
        line = end + 1;
    }
    return 0;
}

static int s_free_document (void **state)
{
    free (s_document.text);
    return 0;
}

/* Index of the first line from `from` on that begins with `start`; the count if there is none. */
static size_t s_find (size_t from, const char *start)
{
    while (from < s_document.count && strncmp (s_document.lines[from], start, strlen (start)) != 0)
        from++;
    return from;
}

/* The same for a line that must be there, once. */
static size_t s_find_once (const char *start)
{
    size_t index = s_find (0, start);
    if (index == s_document.count)
        fail_msg ("no line begins with: %s", start);
    if (s_find (index + 1, start) != s_document.count)
        fail_msg ("more than one line begins with: %s", start);
    return index;
}

/* --- what a command consists of ---------------------------------------------------------------- */

/* A field that the document must show, in order. */
typedef struct {
    char name[96];
    const char *type;
    size_t size;        /* in the decoded command */
    bool is_text;       /* text holds, else number */
    const char *symbol; /* if not NULL, the value is written so */
    uint64_t number;
    leat_text_t text;
} item_t;

enum { ITEMS_MAX = 200 };

typedef struct {
    item_t items[ITEMS_MAX];
    size_t count;
} items_t;

static item_t *s_add (items_t *items, const char *type, size_t size, uint64_t number)
{
    assert_true (items->count < ITEMS_MAX);
    item_t *item = &items->items[items->count++];
    *item = (item_t){ .type = type, .size = size, .number = number };
    return item;
}

static void s_add_number (items_t *items, const char *name, const char *type, size_t size,
                          uint64_t number)
{
    item_t *item = s_add (items, type, size, number);
    snprintf (item->name, sizeof item->name, "%s", name);
}

static void s_add_text (items_t *items, const char *name, const char *type, size_t width,
                        leat_text_t text)
{
    item_t *item = s_add (items, type, width + text.size, 0);
    item->is_text = true;
    item->text = text;
    snprintf (item->name, sizeof item->name, "%s", name);
}

/* One of a list: "ranges[3].epoch". */
static void s_add_entry (items_t *items, const char *list, uint32_t index, const char *name,
                         size_t size, uint64_t number)
{
    item_t *item = s_add (items, NULL, size, number);
    snprintf (item->name, sizeof item->name, "%s[%u].%s", list, (unsigned) index, name);
}

static void s_add_count (items_t *items, const char *list, const char *type, uint32_t count)
{
    item_t *item = s_add (items, type, 2, count);
    snprintf (item->name, sizeof item->name, "%s.count", list);
}

static void s_add_ranges (items_t *items, const char *name, const leat_ranges_t *list)
{
    s_add_count (items, name, "ranges", list->count);
    for (uint32_t index = 0; index < list->count; index++) {
        leat_range_t range = leat_ranges_get (list, index);
        s_add_entry (items, name, index, "epoch", 8, range.epoch);
        s_add_entry (items, name, index, "first", 8, range.first);
        s_add_entry (items, name, index, "count", 4, range.count);
    }
}

static void s_add_settles (items_t *items, const char *name, const leat_settles_t *list)
{
    s_add_count (items, name, "settles", list->count);
    for (uint32_t index = 0; index < list->count; index++) {
        leat_settle_entry_t entry = leat_settles_get (list, index);
        s_add_entry (items, name, index, "epoch", 8, entry.epoch);
        s_add_entry (items, name, index, "first", 8, entry.first);
        s_add_entry (items, name, index, "count", 4, entry.count);
        s_add_entry (items, name, index, "delay_ms", 4, entry.delay_ms);
        s_add_entry (items, name, index, "outcome", 1, entry.outcome);
    }
}

#define U8(field) s_add_number (items, #field, "u8", 1, from->field);
#define U16(field) s_add_number (items, #field, "u16", 2, from->field);
#define U32(field) s_add_number (items, #field, "u32", 4, from->field);
#define U64(field) s_add_number (items, #field, "u64", 8, from->field);
#define NAME(field) s_add_text (items, #field, "name", 1, from->field);
#define TEXT(field) s_add_text (items, #field, "text", 2, from->field);
#define BLOB(field) s_add_text (items, #field, "blob", 4, from->field);
#define RANGES(field) s_add_ranges (items, #field, &from->field);
#define SETTLES(field) s_add_settles (items, #field, &from->field);
#define COMMAND(NAME_, name, number, fields)                                                       \
    static void s_items_of_##name (const leat_command_t *command, items_t *items)                  \
    {                                                                                              \
        const leat_##name##_t *from = &command->name;                                              \
        fields                                                                                     \
    }
#include "wire/commands.def"
#undef COMMAND
#undef U8
#undef U16
#undef U32
#undef U64
#undef NAME
#undef TEXT
#undef BLOB
#undef RANGES
#undef SETTLES

typedef struct {
    const char *name;
    uint8_t id;
    void (*items_of) (const leat_command_t *command, items_t *items);
} kind_t;

static const kind_t s_kinds[] = {
#define COMMAND(NAME_, name, number, fields) { #NAME_, number, s_items_of_##name },
#include "wire/commands.def"
#undef COMMAND
};
enum { KINDS = sizeof s_kinds / sizeof s_kinds[0] };

static void s_items_of_header (const leat_batch_t *batch, items_t *items)
{
    s_add_number (items, "command", "u8", 1, batch->command);
    items->items[items->count - 1].symbol = leat_command_name (batch->command);
    s_add_number (items, "attributes", "u8", 1, batch->attributes);
    s_add_number (items, "flags", "u16", 2, batch->flags);
    s_add_number (items, "channel", "u32", 4, batch->channel);
    s_add_number (items, "count", "u32", 4, batch->count);
    s_add_number (items, "crc32c", "u32", 4, batch->crc32c);
    s_add_number (items, "first", "u64", 8, batch->first);
    s_add_number (items, "time_ms", "u64", 8, batch->time_ms);
    s_add_number (items, "epoch", "u64", 8, batch->epoch);
    if (batch->command == LEAT_DELIVER)
        s_add_number (items, "size", "u32", 4, batch->size);
    else
        s_add_number (items, "flight", "u32", 4, batch->flight);
    s_add_number (items, "attempt", "u32", 4, batch->attempt);
}

/* --- sections of commands ---------------------------------------------------------------------- */

/* The name of the field in a lists' first item is "ranges.count"; the table has "ranges". */
static void s_check_field_rows (const char *command, size_t line, const items_t *items)
{
    while (strncmp (s_document.lines[line], "| field | type |", 16) != 0) {
        line++;
        assert_true (line < s_document.count);
        if (s_document.lines[line][0] == '#')
            fail_msg ("%s has no table of fields", command);
    }
    line += 2;
    for (size_t index = 0; index < items->count; index++, line++) {
        char row[128];
        int length = (int) strcspn (items->items[index].name, ".");
        snprintf (row, sizeof row, "| `%.*s` | %s | ", length, items->items[index].name,
                  items->items[index].type);
        if (strncmp (s_document.lines[line], row, strlen (row)) != 0)
            fail_msg ("%s: expected %s, found %s", command, row, s_document.lines[line]);
    }
    if (s_document.lines[line][0] == '|')
        fail_msg ("%s has no field %s", command, s_document.lines[line]);
}

static void s_check_header_rows (const char *command, uint8_t id, size_t line)
{
    const leat_batch_t none = { .command = id };
    items_t items = { .count = 0 };
    s_items_of_header (&none, &items);
    while (strncmp (s_document.lines[line], "| byte | field | type |", 23) != 0)
        line++;
    line += 2;
    size_t byte = 0;
    for (size_t index = 0; index < items.count; index++, line++) {
        char row[128];
        snprintf (row, sizeof row, "| %zu | `%s` | %s | ", byte, items.items[index].name,
                  items.items[index].type);
        if (strncmp (s_document.lines[line], row, strlen (row)) != 0)
            fail_msg ("%s: expected %s, found %s", command, row, s_document.lines[line]);
        byte += items.items[index].size;
    }
    assert_int_equal (byte, LEAT_BATCH_HEADER_SIZE);
    assert_int_not_equal (s_document.lines[line][0], '|');
}

static void test_every_command_has_its_section (void **state)
{
    static const leat_command_t none;
    char heading[64];
    size_t headings = 0;
    for (int kind = 0; kind < KINDS; kind++) {
        items_t items = { .count = 0 };
        s_kinds[kind].items_of (&none, &items);
        snprintf (heading, sizeof heading, "#### %s (0x%02x)", s_kinds[kind].name,
                  s_kinds[kind].id);
        s_check_field_rows (s_kinds[kind].name, s_find_once (heading) + 1, &items);
    }
    snprintf (heading, sizeof heading, "#### PUBLISH (0x%02x)", LEAT_PUBLISH);
    s_check_header_rows ("PUBLISH", LEAT_PUBLISH, s_find_once (heading));
    snprintf (heading, sizeof heading, "#### DELIVER (0x%02x)", LEAT_DELIVER);
    s_check_header_rows ("DELIVER", LEAT_DELIVER, s_find_once (heading));
    for (size_t line = 0; line < s_document.count; line++)
        headings += strncmp (s_document.lines[line], "#### ", 5) == 0;
    assert_int_equal (headings, KINDS + 2);
}

/* "RETRY_AFTER_MS" or "retry_after_ms" as a rule of ABNF: "retry-after-ms". */
static void s_rule_name (char *rule, size_t size, const char *name)
{
    size_t length = strcspn (name, ".");
    assert_true (length < size);
    for (size_t index = 0; index < length; index++)
        rule[index] = (char) (name[index] == '_' ? '-' : tolower ((unsigned char) name[index]));
    rule[length] = '\0';
}

static void test_grammar_of_commands (void **state)
{
    static const leat_command_t none;
    for (int kind = 0; kind < KINDS; kind++) {
        items_t items = { .count = 0 };
        char rule[64], start[96], found[1024], expected[1024];
        s_kinds[kind].items_of (&none, &items);
        s_rule_name (rule, sizeof rule, s_kinds[kind].name);
        snprintf (start, sizeof start, "%s = %%x%02x ", rule, s_kinds[kind].id);

        /* The rule, its continuation lines joined with single blanks. */
        size_t line = s_find_once (start);
        snprintf (found, sizeof found, "%s", s_document.lines[line]);
        while (s_document.lines[++line][0] == ' ') {
            const char *more = s_document.lines[line] + strspn (s_document.lines[line], " ");
            size_t length = strlen (found);
            snprintf (found + length, sizeof found - length, " %s", more);
        }
        size_t length = (size_t) snprintf (expected, sizeof expected, "%s", start);
        for (size_t index = 0; index < items.count; index++) {
            s_rule_name (rule, sizeof rule, items.items[index].name);
            length += (size_t) snprintf (expected + length, sizeof expected - length, "%s%s",
                                         index ? " " : "", rule);
            /* What the field is made of: a rule of its own, unless it is named as its type. */
            if (strcmp (rule, items.items[index].type) != 0 && strcmp (rule, "signature") != 0) {
                char type[128];
                snprintf (type, sizeof type, "%s = %s", rule, items.items[index].type);
                assert_string_equal (s_document.lines[s_find_once (type)], type);
            }
        }
        assert_string_equal (found, expected);
    }
}

/* --- tables of values -------------------------------------------------------------------------- */

static void test_every_code_has_its_row (void **state)
{
    size_t line = s_find_once ("## 8. Codes");
    line = s_find (line, "| code | name |") + 2;
#define X(number, name, text)                                                                      \
    do {                                                                                           \
        static const char row[] = "| " #number " | " #name " | ";                                  \
        assert_true (line < s_document.count);                                                     \
        if (strncmp (s_document.lines[line], row, sizeof row - 1) != 0)                            \
            fail_msg ("expected %s, found %s", row, s_document.lines[line]);                       \
        line++;                                                                                    \
    } while (0);
    LEAT_CODES (X)
#undef X
    assert_int_not_equal (s_document.lines[line][0], '|');
}

static void s_expect_value (const char *start, unsigned long value)
{
    char row[128];
    snprintf (row, sizeof row, "| %s | %lu | ", start, value);
    s_find_once (row);
}

static void test_limits_and_flags (void **state)
{
    s_expect_value ("name-max", LEAT_NAME_MAX);
    s_expect_value ("text-max", LEAT_TEXT_MAX);
    s_expect_value ("batch-header-size", LEAT_BATCH_HEADER_SIZE);
    s_expect_value ("slices-max", LEAT_SLICES_MAX);
    s_expect_value ("slices-size-max", LEAT_SLICES_SIZE_MAX);
    s_expect_value ("command-size-max", LEAT_COMMAND_SIZE_MAX);
    s_expect_value ("entries-max", LEAT_ENTRIES_MAX);
    s_expect_value ("batch-count-max", LEAT_BATCH_COUNT_MAX);
    s_expect_value ("record-size-max", LEAT_RECORD_SIZE_MAX);
    s_expect_value ("batch-cost", LEAT_BATCH_COST);

    s_expect_value ("HELLO | RESUME", LEAT_HELLO_RESUME);
    s_expect_value ("HELLO | EPHEMERAL", LEAT_HELLO_EPHEMERAL);
    s_expect_value ("OPEN, ATTACH | MUST_EXIST", LEAT_MUST_EXIST);
    s_expect_value ("OPENED | KNOWN", LEAT_OPENED_KNOWN);
    s_expect_value ("CREDIT | RECLAIM", LEAT_CREDIT_RECLAIM);
    s_expect_value ("SETTLE | CONFIRM", LEAT_SETTLE_CONFIRM);
    s_expect_value ("SETTLED | DURABLE", LEAT_SETTLED_DURABLE);
    s_expect_value ("RESULT | MORE", LEAT_RESULT_MORE);
    s_expect_value ("attributes | EXTENDED", LEAT_BATCH_EXTENDED);
    s_expect_value ("PUBLISH | PATIENT", LEAT_PUBLISH_PATIENT);
    s_expect_value ("DELIVER | REDELIVERED", LEAT_DELIVER_REDELIVERED);
    s_expect_value ("outcome | ACK", LEAT_ACK);
    s_expect_value ("outcome | NACK", LEAT_NACK);
    s_expect_value ("outcome | REJECT", LEAT_REJECT);
    s_expect_value ("start | EARLIEST", LEAT_START_EARLIEST);
    s_expect_value ("start | LATEST", LEAT_START_LATEST);
    s_expect_value ("start | OFFSET", LEAT_START_OFFSET);
    s_expect_value ("start | TIME", LEAT_START_TIME);
    s_expect_value ("durability | DEFAULT", LEAT_DURABILITY_DEFAULT);
    s_expect_value ("durability | MEMORY", LEAT_MEMORY);
    s_expect_value ("durability | ASYNC", LEAT_ASYNC);
    s_expect_value ("durability | SYNC", LEAT_SYNC);
    s_expect_value ("retention | WORK", LEAT_RETENTION_WORK);
    s_expect_value ("retention | LOG", LEAT_RETENTION_LOG);
}

static void s_expect_crc (const char *input, const void *bytes, size_t size)
{
    char row[128];
    snprintf (row, sizeof row, "| %s | 0x%08x |", input, (unsigned) leat_crc32c (bytes, size));
    s_find_once (row);
}

static void test_checksums (void **state)
{
    uint8_t bytes[32];
    s_expect_crc ("no bytes", "", 0);
    s_expect_crc ("`123456789` in ASCII", "123456789", 9);
    memset (bytes, 0, sizeof bytes);
    s_expect_crc ("32 bytes of 0x00", bytes, sizeof bytes);
    memset (bytes, 0xff, sizeof bytes);
    s_expect_crc ("32 bytes of 0xff", bytes, sizeof bytes);
}

/* --- the worked exchange ----------------------------------------------------------------------- */

/* A message as the document shows it: bytes, and what it says that they are. */
typedef struct {
    const char *title; /* "; producer: HELLO" */
    uint8_t bytes[4096];
    size_t size;
    size_t first_frame; /* size of it, if there is a second */
    struct {
        size_t size;
        const char *name;
        const char *value;
        size_t line;
    } stated[ITEMS_MAX];
    size_t count;
} block_t;

static int s_digit (char character)
{
    const char *digits = "0123456789abcdef";
    const char *found = character ? strchr (digits, character) : NULL;
    return found ? (int) (found - digits) : -1;
}

/* Reads the bytes of a line; returns what follows them: a comment or the end. */
static char *s_read_bytes (block_t *block, char *text)
{
    while (*text && *text != ';') {
        int high = s_digit (text[0]), low = high < 0 ? -1 : s_digit (text[1]);
        if (high < 0 || low < 0) {
            fail_msg ("no bytes: %s", text);
            abort (); /* fail_msg does not return, which analysers cannot see */
        }
        assert_true (block->size < sizeof block->bytes);
        block->bytes[block->size++] = (uint8_t) (high << 4 | low);
        text += 2;
        text += strspn (text, " ");
    }
    return text;
}

/* Reads the block whose first line is `line`; returns the line after it. Cuts its lines apart. */
static size_t s_read_block (block_t *block, size_t line)
{
    *block = (block_t){ .title = s_document.lines[line] };
    size_t start = 0;
    for (line++; strcmp (s_document.lines[line], "```") != 0; line++) {
        assert_true (line + 1 < s_document.count);
        if (strcmp (s_document.lines[line], "; second frame") == 0) {
            assert_int_equal (start, block->size);
            block->first_frame = block->size;
            continue;
        }
        char *comment = s_read_bytes (block, s_document.lines[line]);
        if (*comment == '\0')
            continue;
        char *equals = strstr (comment, " = ");
        if (!equals || strncmp (comment, "; ", 2) != 0) {
            fail_msg ("line %zu: expected a field and its value", line + 1);
            abort ();
        }
        *equals = '\0';
        assert_true (block->count < ITEMS_MAX);
        block->stated[block->count].name = comment + 2;
        block->stated[block->count].value = equals + 3;
        block->stated[block->count].size = block->size - start;
        block->stated[block->count].line = line + 1;
        block->count++;
        start = block->size;
    }
    assert_int_equal (start, block->size);
    return line;
}

static bool s_value_matches (const item_t *item, const char *value)
{
    if (item->symbol)
        return strcmp (value, item->symbol) == 0;
    if (item->is_text) {
        size_t length = strlen (value);
        return length == item->text.size + 2 && value[0] == '"' && value[length - 1] == '"'
               && memcmp (value + 1, item->text.data, item->text.size) == 0;
    }
    char *end;
    unsigned long long number = strtoull (value, &end, 0);
    return isdigit ((unsigned char) value[0]) && *end == '\0' && number == item->number;
}

/* What was decoded must be what is stated, field by field. */
static void s_compare (const block_t *block, const items_t *items)
{
    for (size_t index = 0; index < items->count && index < block->count; index++) {
        const item_t *item = &items->items[index];
        if (strcmp (item->name, block->stated[index].name) != 0)
            fail_msg ("line %zu: expected %s, found %s", block->stated[index].line, item->name,
                      block->stated[index].name);
        if (item->size != block->stated[index].size)
            fail_msg ("line %zu: %s has %zu bytes, not %zu", block->stated[index].line, item->name,
                      item->size, block->stated[index].size);
        if (!s_value_matches (item, block->stated[index].value))
            fail_msg ("line %zu: %s is not %s", block->stated[index].line, item->name,
                      block->stated[index].value);
    }
    assert_int_equal (items->count, block->count);
}

static void s_add_of_record (items_t *items, uint32_t record, const char *name, size_t size,
                             uint64_t number)
{
    item_t *item = s_add (items, NULL, size, number);
    snprintf (item->name, sizeof item->name, "record[%u].%s", (unsigned) record, name);
}

static void s_add_bytes_of_record (items_t *items, uint32_t record, const char *name,
                                   const void *bytes, size_t size)
{
    if (size == 0)
        return;
    s_add_of_record (items, record, name, size, 0);
    items->items[items->count - 1].is_text = true;
    items->items[items->count - 1].text = (leat_text_t){ bytes, size };
}

static void s_add_headers (items_t *items, uint32_t index, const leat_record_t *record)
{
    size_t position = 0;
    leat_text_t name, value;
    char field[48];
    for (unsigned header = 0; position < record->headers_size; header++) {
        size_t taken = leat_header_decode (&name, &value, record->headers + position,
                                           record->headers_size - position);
        assert_true (taken > 0);
        position += taken;
        snprintf (field, sizeof field, "header[%u].name_size", header);
        s_add_of_record (items, index, field, 1, name.size);
        snprintf (field, sizeof field, "header[%u].value_size", header);
        s_add_of_record (items, index, field, 2, value.size);
        snprintf (field, sizeof field, "header[%u].name", header);
        s_add_bytes_of_record (items, index, field, name.data, name.size);
        snprintf (field, sizeof field, "header[%u].value", header);
        s_add_bytes_of_record (items, index, field, value.data, value.size);
    }
}

/* The records of a slice, which are numbered from `number` on; they are encoded `again`. */
static void s_check_slice (items_t *items, const leat_batch_t *batch, uint32_t number,
                           const uint8_t *body, size_t size, uint8_t *again)
{
    bool extended = batch->attributes & LEAT_BATCH_EXTENDED;
    assert_int_equal (leat_batch_check (body, size, batch->count, extended, 1 << 20), LEAT_OK);
    assert_int_equal (leat_crc32c (body, size), batch->crc32c);
    size_t at = 0;
    for (uint32_t index = number; index < number + batch->count; index++) {
        leat_record_t record;
        size_t taken = leat_record_decode (&record, extended, body + at, size - at);
        assert_true (taken > 0);
        s_add_of_record (items, index, "size", 4, taken - 4);
        if (extended) {
            s_add_of_record (items, index, "key_size", 2, record.key_size);
            s_add_of_record (items, index, "headers_size", 2, record.headers_size);
        }
        s_add_bytes_of_record (items, index, "key", record.key, record.key_size);
        s_add_headers (items, index, &record);
        s_add_bytes_of_record (items, index, "body", record.body, record.body_size);
        at += leat_record_encode (&record, extended, again + at);
    }
    assert_int_equal (at, size);
}

static void s_check_batch (const block_t *block)
{
    enum { SIZE = LEAT_BATCH_HEADER_SIZE };
    leat_batch_t batches[LEAT_SLICES_MAX];
    uint8_t again[sizeof block->bytes];
    items_t items = { .count = 0 };
    uint32_t slices = 1;
    size_t at = block->first_frame;
    if (block->bytes[0] == LEAT_DELIVER)
        slices = leat_batch_slices (block->bytes, at, block->size - at);
    assert_int_equal (at, slices * SIZE);
    for (uint32_t index = 0; index < slices; index++) {
        assert_int_equal (leat_batch_decode (&batches[index], block->bytes + index * SIZE, SIZE),
                          LEAT_OK);
        s_items_of_header (&batches[index], &items);
        leat_batch_encode (&batches[index], again + index * SIZE);
    }
    uint32_t number = 0;
    for (uint32_t index = 0; index < slices; index++) {
        size_t size = block->bytes[0] == LEAT_DELIVER ? batches[index].size : block->size - at;
        s_check_slice (&items, &batches[index], number, block->bytes + at, size, again + at);
        number += batches[index].count;
        at += size;
    }
    assert_int_equal (at, block->size);
    assert_memory_equal (again, block->bytes, at);
    s_compare (block, &items);
}

static void s_check_command (const block_t *block)
{
    leat_command_t command;
    uint8_t again[sizeof block->bytes];
    assert_int_equal (block->first_frame, 0);
    assert_int_equal (leat_command_decode (&command, block->bytes, block->size, NULL), LEAT_OK);
    assert_int_equal (leat_command_encode (&command, again), block->size);
    assert_memory_equal (again, block->bytes, block->size);

    items_t items = { .count = 0 };
    s_add_number (&items, "command", "u8", 1, command.id);
    items.items[0].symbol = leat_command_name (command.id);
    for (int kind = 0; kind < KINDS; kind++)
        if (s_kinds[kind].id == command.id)
            s_kinds[kind].items_of (&command, &items);
    s_compare (block, &items);
}

/* Checks the blocks from `line` up to a heading; appends "HELLO WELCOME ..." to `names`. */
static void s_check_exchange (size_t line, char *names, size_t size)
{
    names[0] = '\0';
    for (; s_document.lines[line][0] != '#'; line++) {
        assert_true (line + 1 < s_document.count);
        if (strcmp (s_document.lines[line], "```hex") != 0)
            continue;
        block_t block;
        line = s_read_block (&block, line + 1);
        assert_true (block.size > 0);
        const char *name = leat_command_name (block.bytes[0]);
        const char *title = strstr (block.title, ": ");
        assert_non_null (title);
        assert_string_equal (title + 2, name);
        if (block.bytes[0] == LEAT_PUBLISH || block.bytes[0] == LEAT_DELIVER)
            s_check_batch (&block);
        else
            s_check_command (&block);
        size_t length = strlen (names);
        snprintf (names + length, size - length, "%s ", name);
    }
}

static void test_worked_exchange (void **state)
{
    char names[1024];
    s_check_exchange (s_find_once ("### 10.1 ") + 1, names, sizeof names);
    assert_string_equal (names, "HELLO WELCOME OPEN OPENED PUBLISH CONFIRMED PUBLISH REFUSED "
                                "PUBLISH CONFIRMED CLOSE CLOSED BYE BYE ");
    s_check_exchange (s_find_once ("### 10.2 ") + 1, names, sizeof names);
    assert_string_equal (names, "ATTACH ATTACHED DELIVER REPORT SETTLE SETTLED DELIVER DELIVER "
                                "RETURNED LEAVE LEFT ");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_every_command_has_its_section),
        cmocka_unit_test (test_grammar_of_commands),
        cmocka_unit_test (test_every_code_has_its_row),
        cmocka_unit_test (test_limits_and_flags),
        cmocka_unit_test (test_checksums),
        cmocka_unit_test (test_worked_exchange),
    };
    return cmocka_run_group_tests (tests, s_read_document, s_free_document);
}
