/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dsn.c - fuzz target: delivery status notifications.
 *
 * Input: what a next hop and a client said, each up to a NUL, then the message reported on. Every
 * report has CRLF line ends alone, no line over 998, and exactly its own four boundary lines.
 */
#include <core/mail/dsn.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool sound)
{
	if (!sound)
		abort();
}

static const char *
take(struct pn_slice *in, struct arena *arena)
{
	const char *nul = in->len ? memchr(in->data, '\0', in->len) : NULL;
	size_t len = nul ? (size_t)(nul - in->data) : 0;
	const char *text = arena_slice(arena, pn_slice(in->data, len));

	if (nul)
		*in = pn_slice(nul + 1, in->len - len - 1);
	return text;
}

static void
check(struct pn_slice bytes)
{
	static const char label[] = "boundary=\"";
	const char *at = memmem(bytes.data, bytes.len, label, strlen(label));
	const char *boundary = at ? at + strlen(label) : "", *end = strchr(boundary, '"');
	size_t line = 0, boundaries = 0, len;

	must(end && end > boundary);
	len = (size_t)(end - boundary);
	for (size_t i = 0; i < bytes.len; i++) {
		must(bytes.data[i] != '\0');
		must(bytes.data[i] != '\r' || bytes.data[i + 1] == '\n');
		if (bytes.data[i] != '\n')
			continue;
		must(i > 0 && bytes.data[i - 1] == '\r' && i - 1 - line <= 998);
		if (i - line > len + 2 && memcmp(bytes.data + line, "--", 2) == 0 &&
		    memcmp(bytes.data + line + 2, boundary, len) == 0)
			boundaries++;
		line = i + 1;
	}
	must(line == bytes.len && boundaries == 4);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_slice in = pn_slice(data, size);
	struct arena arena = { 0 };
	struct mail_recipient recipient = { .address = "b@example.org" };
	struct mail_envelope envelope = { .sender = "a@example.org",
		.ret = size % 2 ? MAIL_RET_FULL : MAIL_RET_HDRS };
	struct dsn_recipient about = { .recipient = &recipient,
		.action = (enum dsn_action)(size % 5) };
	struct dsn_report report = { .relay_name = "relay.example",
		.id = "06F3KB",
		.about_id = "06F3K9",
		.envelope = &envelope,
		.recipients = &about,
		.count = 1,
		.quote_most = SIZE_MAX };
	struct mail_bytes *made;
	bool utf8;

	recipient.original = size % 3 ? recipient.address : "\xc3\xbc@example.org";
	about.status = take(&in, &arena);
	about.diagnostic = take(&in, &arena);
	about.remote = take(&in, &arena);
	recipient.orcpt = take(&in, &arena);
	envelope.envid = take(&in, &arena);
	report.original = in;
	must(dsn_write(&report, &made, &utf8) == 0);
	check(pn_slice(made->data, made->len));
	mail_bytes_release(&made);
	must(mail_bytes_in_use() == 0);
	arena_free(&arena);
	return 0;
}
