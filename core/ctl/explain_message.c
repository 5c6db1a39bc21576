/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain_message.c - a message out of a file, and the envelope it would come in.
 *
 * Called by posternctl explain. What a client could not send must not be made good here: the relay
 * would refuse it.
 */
#include <core/ctl/explain.h>
#include <core/mail/address.h>
#include <core/mail/address_list.h>
#include <core/net/address.h>
#include <errno.h>
#include <stdlib.h>

#define FILE_MOST ((size_t)256 * 1024 * 1024)

/* ---- the file -------------------------------------------------------------------------------- */

/* An editor's file ends its lines with LF; and DATA has no message whose last line does not end. */
static char *
with_crlf(const char *text, size_t len, size_t *ret_len)
{
	bool lf = !memmem(text, len, "\r\n", 2);
	char *ret = malloc(2 * len + 2);
	size_t to = 0;

	if (!ret)
		abort();
	for (size_t i = 0; i < len; i++) {
		if (lf && text[i] == '\n')
			ret[to++] = '\r';
		ret[to++] = text[i];
	}
	if (to > 0 && ret[to - 1] != '\n') {
		ret[to++] = '\r';
		ret[to++] = '\n';
	}
	*ret_len = to;
	return ret;
}

int
explain_read(const char *path, struct explain_envelope *envelope, struct pn_error *err)
{
	GError *why = NULL;
	char *text;
	gsize len;
	int r = 0;

	if (!g_file_get_contents(path, &text, &len, &why)) {
		pn_error_set(err, -EIO, "%s", why->message);
		g_error_free(why);
		return -EIO;
	}
	if (len > FILE_MOST)
		r = pn_error_set(err, -E2BIG, "%s: too large", path);
	else
		envelope->message = with_crlf(text, len, &envelope->len);
	g_free(text);
	return r;
}

/* ---- the envelope ---------------------------------------------------------------------------- */

static void
add_address(void *arg, const char *address)
{
	g_ptr_array_add(arg, g_strdup(address));
}

static void
add_field(const struct explain_envelope *envelope, const struct mail_header *header,
    const char *name, GPtrArray *to)
{
	struct pn_slice bytes = pn_slice(envelope->message, envelope->len);
	struct pn_header field;

	for (size_t nth = 0;; nth++) {
		int at = mail_header_find(bytes, header, name, nth);

		if (at < 0 || !mail_header_field(bytes, header, (size_t)at, &field))
			return;
		mail_address_list(field.value, add_address, to);
	}
}

static void
complete(struct explain_envelope *envelope, struct arena *arena)
{
	static const char *const fields[] = { "To", "Cc", "Bcc" };
	struct mail_header header = { 0 };

	mail_header_index(pn_slice(envelope->message, envelope->len), SIZE_MAX, arena, &header);
	if (!envelope->from) {
		GPtrArray *from = g_ptr_array_new_with_free_func(g_free);

		add_field(envelope, &header, "From", from);
		envelope->from = from->len > 0 ? arena_text(arena, from->pdata[0]) : "";
		g_ptr_array_free(from, TRUE);
	}
	if (envelope->to->len > 0)
		return;
	for (size_t f = 0; f < sizeof(fields) / sizeof(*fields); f++)
		add_field(envelope, &header, fields[f], envelope->to);
}

int
explain_address(const char *address, struct pn_error *err)
{
	char checked[MAIL_ADDRESS_SIZE];

	if (mail_address_check(pn_slice_of(address), true, checked) < 0)
		return pn_error_set(err, -EINVAL, "\"%.320s\" is not a mail address", address);
	return 0;
}

int
explain_complete(struct explain_envelope *envelope, struct arena *arena, struct pn_error *err)
{
	int r;

	complete(envelope, arena);
	r = *envelope->from ? explain_address(envelope->from, err) : 0;
	if (r == 0 && envelope->user)
		r = explain_address(envelope->user, err);
	if (r == 0 && envelope->to->len == 0)
		r = pn_error_set(
		    err, -EINVAL, "no recipient: the header names none, and --to was not given");
	for (size_t i = 0; r == 0 && i < envelope->to->len; i++)
		r = explain_address(envelope->to->pdata[i], err);
	return r;
}

void
explain_free(struct explain_envelope *envelope)
{
	g_ptr_array_free(envelope->to, TRUE);
	free(envelope->message);
}

/* ---- where it comes from --------------------------------------------------------------------- */

static const struct config_listener *
find_listener(const struct ctl *ctl, const char *name)
{
	const struct pn_list *list = &generation_core(ctl->generation)->relay.listeners;
	const struct config_listener *listeners = list->items;

	for (size_t i = 0; i < list->count; i++)
		if (!name || strcmp(listeners[i].name, name) == 0)
			return &listeners[i];
	return NULL;
}

int
explain_facts(const struct ctl *ctl, const char *listener, const char *client, struct arena *arena,
    const struct config_listener **ret_listener, struct mail_facts *ret, struct pn_error *err)
{
	char host[ADDRESS_TEXT], literal[ADDRESS_TEXT];
	struct address address;

	*ret_listener = find_listener(ctl, listener);
	if (!*ret_listener)
		return pn_error_set(err, -ENOENT, "there is no listener \"%s\"", listener);
	if (!client)
		client = "127.0.0.1";
	if (address_parse(client, 0, &address, NULL) < 0)
		return pn_error_set(err, -EINVAL,
		    "--client: \"%s\" is not an IP address; write for example 192.0.2.7", client);
	address_host(&address, host);
	address_literal(&address, literal);
	*ret = (struct mail_facts){
		.client_address = arena_text(arena, host),
		.client_literal = arena_text(arena, literal),
		.listener = (*ret_listener)->name,
		.helo = "localhost",
		.esmtp = true,
	};
	return 0;
}
