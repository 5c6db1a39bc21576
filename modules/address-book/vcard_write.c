/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcard_write.c - cards for other clients.
 *
 * Called by export. Must never write what an answer is sealed to: whoever has that can try answers
 * at home.
 */
#include "vcard.h"

#define FOLD 75u /* octets, RFC 6350 section 3.2 */

/* Never between the bytes of a character. */
static void
fold(GString *to, const char *line)
{
	size_t len = strlen(line), room = FOLD;

	while (len > room) {
		size_t cut = room;

		while (cut > 1 && ((unsigned char)line[cut] & 0xc0) == 0x80)
			cut--;
		g_string_append_len(to, line, (gssize)cut);
		g_string_append(to, "\r\n ");
		line += cut;
		len -= cut;
		room = FOLD - 1;
	}
	g_string_append(to, line);
	g_string_append(to, "\r\n");
}

static void
write_text(GString *to, const char *head, const char *value)
{
	GString *line = g_string_new(head);

	for (; *value; value++) {
		if (*value == '\n') {
			g_string_append(line, "\\n");
			continue;
		}
		if (strchr("\\,;", *value))
			g_string_append_c(line, '\\');
		g_string_append_c(line, *value);
	}
	fold(to, line->str);
	g_string_free(line, TRUE);
}

static void
write_key(GString *to, int version, const char *type, const char *media, struct pn_slice bytes)
{
	char *base64 = g_base64_encode((const guchar *)bytes.data, bytes.len), *line;

	line = version == 4 ? g_strdup_printf("KEY:data:%s;base64,%s", media, base64)
			    : g_strdup_printf("KEY;TYPE=%s;ENCODING=b:%s", type, base64);
	fold(to, line);
	g_free(line);
	g_free(base64);
}

void
vcard_write(GString *to, int version, const struct vcard_source *from)
{
	struct pn_slice rest = from->certificates, one;

	g_string_append_printf(to, "BEGIN:VCARD\r\nVERSION:%d.0\r\n", version);
	write_text(to, "FN:", *from->name ? from->name : from->address);
	/* 3.0 demands it, with nothing more in it than we know (RFC 2426 section 3.1.2). */
	if (version == 3)
		write_text(to, "N:", *from->name ? from->name : from->address);
	write_text(to, version == 3 ? "EMAIL;TYPE=INTERNET:" : "EMAIL:", from->address);
	while (keydata_next_certificate(&rest, &one))
		write_key(to, version, "X509", "application/pkix-cert", one);
	if (from->pgp.len > 0)
		write_key(to, version, "PGP", "application/pgp-keys", from->pgp);
	if (from->question)
		write_text(to, "X-POSTERN-QUESTION:", from->question);
	g_string_append(to, "END:VCARD\r\n");
}
