/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys.c - reads what a helper process has said of OpenPGP keys.
 *
 * Called where the question was asked. The helper has seen hostile bytes, so nothing of what it
 * says is believed to have a form.
 */
#include <core/base/text.h>
#include <core/crypt/keys.h>
#include <errno.h>
#include <jansson.h>

static const char *
text_of(const json_t *item, struct arena *arena)
{
	const char *text = json_string_value(item);

	if (!text)
		return NULL;
	for (const char *at = text; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			return NULL;
	return arena_text(arena, text);
}

static const char *const *
texts_of(const json_t *list, struct arena *arena)
{
	size_t count = json_array_size(list);
	const char **texts = arena_alloc(arena, (count + 1) * sizeof(*texts)), **at = texts;

	for (size_t i = 0; i < count; i++) {
		*at = text_of(json_array_get(list, i), arena);
		if (*at)
			at++;
	}
	return (const char *const *)texts;
}

static int
minimal_of(const json_t *item, struct arena *arena, struct pn_slice *ret)
{
	struct buf bytes = BUF_INIT(64 * 1024);
	const char *text = json_string_value(item);
	int r = text ? text_base64_decode(pn_slice_of(text), &bytes) : 0;

	if (r == 0 && bytes.len > 0)
		*ret = pn_slice(arena_copy(arena, bytes.data, bytes.len), bytes.len);
	buf_free(&bytes);
	return r;
}

static int
key_of(const json_t *item, struct arena *arena, struct pn_openpgp_key *ret)
{
	const char *fingerprint = text_of(json_object_get(item, "fingerprint"), arena);
	const char *algorithm = text_of(json_object_get(item, "algorithm"), arena);

	if (!fingerprint || strspn(fingerprint, "0123456789ABCDEF") != strlen(fingerprint))
		return -EPROTO;
	*ret = (struct pn_openpgp_key){
		.size = sizeof(*ret),
		.version = (int32_t)json_integer_value(json_object_get(item, "version")),
		.fingerprint = fingerprint,
		.algorithm = algorithm ? algorithm : "",
		.created = json_integer_value(json_object_get(item, "created")),
		.expires = json_integer_value(json_object_get(item, "expires")),
		.revoked = json_is_true(json_object_get(item, "revoked")),
		.expired = json_is_true(json_object_get(item, "expired")),
		.can_encrypt = json_is_true(json_object_get(item, "can_encrypt")),
		.secret = json_is_true(json_object_get(item, "secret")),
		.user_ids = texts_of(json_object_get(item, "user_ids"), arena),
		.addresses = texts_of(json_object_get(item, "addresses"), arena),
		.reason = text_of(json_object_get(item, "reason"), arena),
	};
	if (minimal_of(json_object_get(item, "minimal"), arena, &ret->minimal) < 0)
		return -EPROTO;
	return ret->reason || ret->minimal.len > 0 ? 0 : -EPROTO;
}

int
keys_parse(struct pn_slice json, struct arena *arena, struct pn_openpgp_keys *ret)
{
	json_t *list = json_loadb(json.data, json.len, 0, NULL);
	int r = json_is_array(list) ? 0 : -EPROTO;

	ret->count = json_array_size(list);
	ret->keys = arena_alloc(arena, (ret->count + 1) * sizeof(*ret->keys));
	for (size_t i = 0; i < ret->count && r == 0; i++)
		r = key_of(json_array_get(list, i), arena, &ret->keys[i]);
	json_decref(list);
	return r;
}
