/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_journal.c - events for systemd's journal, a journal field for each of theirs.
 *
 * Called by log.c. A field `id` is POSTERN_ID there, so `journalctl POSTERN_ID=...` is the way of a
 * message; bytes go as they are, the journal takes any.
 */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <core/base/log_line.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#define PREFIX     "POSTERN_"
#define PARTS_MOST (LOG_FIELDS_MOST + 5)
#define FIELDS_SIZE \
	(4u * LOG_LINE_MOST) /* a value is cut where a line would be, and no earlier \
			      */

struct fields {
	char text[FIELDS_SIZE];
	size_t len;
	struct iovec parts[PARTS_MOST];
	int count;
};

static char
upper(char c)
{
	return (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c == '-' ? '_' : c);
}

/* `name` as it is where it begins with a capital. */
static void
add(struct fields *fields, const char *name, const char *value, size_t len)
{
	char *begin = fields->text + fields->len, *at = begin;
	size_t prefix = *name >= 'A' && *name <= 'Z' ? 0 : sizeof(PREFIX) - 1;
	size_t needed = prefix + strlen(name) + 1;

	if (fields->len + needed >= FIELDS_SIZE)
		return;
	if (len > FIELDS_SIZE - fields->len - needed)
		len = FIELDS_SIZE - fields->len - needed;
	memcpy(at, PREFIX, prefix);
	for (at += prefix; *name; name++)
		*at++ = upper(*name);
	*at++ = '=';
	memcpy(at, value, len);
	fields->len += needed + len;
	fields->parts[fields->count++] = (struct iovec){ begin, needed + len };
}

int
log_journal(const struct log_record *record, const char *logfmt, size_t len)
{
	static const char *const priorities[] = { "3", "4", "5", "6", "7" };
	size_t head = log_line_head(logfmt, len);
	struct fields fields;

	fields.len = 0;
	fields.count = 0;
	add(&fields, "MESSAGE", logfmt + head, len - head - 1);
	add(&fields, "PRIORITY", priorities[record->level], 1);
	add(&fields, "SYSLOG_IDENTIFIER", "postern", sizeof("postern") - 1);
	add(&fields, "process", record->process, strlen(record->process));
	add(&fields, "event", record->event, strlen(record->event));
	for (size_t i = 0; i < record->count; i++)
		add(&fields, record->fields[i].name, record->fields[i].value,
		    strnlen(record->fields[i].value, LOG_LINE_MOST));
	return sd_journal_sendv(fields.parts, fields.count);
}

/* systemd names the device and inode of what it gave us as standard error (systemd.exec(5)). */
bool
log_journal_is_here(void)
{
	const char *named = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;
	char more;

	return named && sscanf(named, "%llu:%llu%c", &device, &inode, &more) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

/* libsystemd says nothing where its socket is missing, and every line would be lost. */
bool
log_journal_is_there(void)
{
	return access("/run/systemd/journal/socket", F_OK) == 0;
}
