/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keyring.c - reads files of keys; the format stands in keyring.h.
 *
 * Called by relay_check.c, so that a mistake is found by `posternctl check`, and by the relay for
 * its spool. Must never put anything of a file into an error: it may be a key in the wrong place.
 */
#include <core/config/keyring.h>
#include <errno.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>

#define BLANKS " \t\r"
#define NAME_BYTES \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" \
	"0123456789._-"

struct key {
	char name[KEYRING_NAME + 4]; /* NUL-padded */
	unsigned char bytes[KEYRING_KEY];
};

struct keyring {
	atomic_uint references;
	size_t count;
	struct key *keys; /* sodium's memory */
};

static struct keyring *
make(size_t most)
{
	struct keyring *ring = sodium_init() < 0 ? NULL : malloc(sizeof(*ring));

	if (!ring)
		return NULL;
	atomic_init(&ring->references, 1);
	ring->count = 0;
	ring->keys = sodium_malloc(most * sizeof(*ring->keys));
	if (!ring->keys) {
		free(ring);
		return NULL;
	}
	memset(ring->keys, 0, most * sizeof(*ring->keys));
	return ring;
}

/* One key's bytes, without a branch or a table that depends on them. */
static bool
read_key(struct pn_slice text, unsigned char ret[KEYRING_KEY])
{
	size_t len = 0;
	const char *end = NULL;

	return text.len == 2 * KEYRING_KEY &&
	       sodium_hex2bin(ret, KEYRING_KEY, text.data, text.len, NULL, &len, &end) == 0 &&
	       len == KEYRING_KEY;
}

static size_t
span(struct pn_slice text, const char *bytes, bool of_them)
{
	size_t len = 0;

	while (
	    len < text.len && text.data[len] && (strchr(bytes, text.data[len]) != NULL) == of_them)
		len++;
	return len;
}

static struct pn_slice
behind(struct pn_slice text, size_t len)
{
	return pn_slice(text.data + len, text.len - len);
}

static int
read_line(struct keyring *ring, struct pn_slice line, unsigned number, struct pn_error *err)
{
	struct key *key = &ring->keys[ring->count];
	size_t name, len;

	line = behind(line, span(line, BLANKS, true));
	if (line.len == 0 || line.data[0] == '#')
		return 0;
	name = span(line, NAME_BYTES, true);
	if (name == 0 || name > KEYRING_NAME || span(behind(line, name), BLANKS, true) == 0)
		return pn_error_set(err, -EINVAL,
		    "line %u of the key file must be a name of up to %u letters, digits, \".\", "
		    "\"_\" or \"-\", a blank, and a key",
		    number, KEYRING_NAME);
	memcpy(key->name, line.data, name);
	line = behind(line, name);
	line = behind(line, span(line, BLANKS, true));
	len = span(line, BLANKS, false);
	if (span(behind(line, len), BLANKS, true) != line.len - len ||
	    !read_key(pn_slice(line.data, len), key->bytes))
		return pn_error_set(err, -EINVAL,
		    "line %u of the key file: a key is 64 hexadecimal digits, as \"openssl rand "
		    "-hex 32\" makes them",
		    number);
	if (keyring_find(ring, key->name) >= 0)
		return pn_error_set(err, -EINVAL,
		    "line %u of the key file: an earlier line has a key of that name", number);
	ring->count++;
	return 0;
}

int
keyring_parse(struct pn_slice text, struct keyring **ret, struct pn_error *err)
{
	struct keyring *ring = make(KEYRING_MOST + 1);
	unsigned number = 0;
	int r = 0;

	if (!ring)
		return pn_error_set(err, -ENOMEM, "out of memory");
	while (r == 0 && text.len > 0) {
		const char *end = memchr(text.data, '\n', text.len);
		size_t len = end ? (size_t)(end - text.data) : text.len;

		r = read_line(ring, pn_slice(text.data, len), ++number, err);
		if (r == 0 && ring->count > KEYRING_MOST)
			r = pn_error_set(
			    err, -EINVAL, "the key file has more than %u keys", KEYRING_MOST);
		text = behind(text, end ? len + 1 : len);
	}
	if (r == 0 && ring->count == 0)
		r = pn_error_set(err, -EINVAL,
		    "the key file has no key; write a line with a name, a blank, and what "
		    "\"openssl rand -hex 32\" says");
	if (r < 0) {
		keyring_release(&ring);
		return r;
	}
	sodium_mprotect_readonly(ring->keys);
	*ret = ring;
	return 0;
}

struct keyring *
keyring_hold(struct keyring *ring)
{
	if (ring)
		atomic_fetch_add(&ring->references, 1);
	return ring;
}

void
keyring_release(struct keyring **ptr)
{
	struct keyring *ring = *ptr;

	*ptr = NULL;
	if (!ring || atomic_fetch_sub(&ring->references, 1) > 1)
		return;
	sodium_free(ring->keys);
	free(ring);
}

size_t
keyring_count(const struct keyring *ring)
{
	return ring ? ring->count : 0;
}

const char *
keyring_name(const struct keyring *ring, size_t index)
{
	return ring->keys[index].name;
}

const unsigned char *
keyring_key(const struct keyring *ring, size_t index)
{
	return ring->keys[index].bytes;
}

int
keyring_find(const struct keyring *ring, const char *name)
{
	for (size_t i = 0; i < keyring_count(ring); i++)
		if (strcmp(ring->keys[i].name, name) == 0)
			return (int)i;
	return -ENOENT;
}

bool
keyring_equals(const struct keyring *a, const struct keyring *b)
{
	size_t count = keyring_count(a);

	return count == keyring_count(b) &&
	       (count == 0 || sodium_memcmp(a->keys, b->keys, count * sizeof(*a->keys)) == 0);
}

static bool
has(const struct keyring *ring, const struct key *key)
{
	for (size_t i = 0; i < ring->count; i++)
		if (sodium_memcmp(&ring->keys[i], key, sizeof(*key)) == 0)
			return true;
	return false;
}

int
keyring_join(const struct keyring *first, const struct keyring *then, struct keyring **ret)
{
	const struct keyring *const both[] = { first, then };
	struct keyring *ring = make(keyring_count(first) + keyring_count(then) + 1);

	if (!ring)
		return -ENOMEM;
	for (size_t k = 0; k < 2; k++)
		for (size_t i = 0; i < keyring_count(both[k]); i++)
			if (!has(ring, &both[k]->keys[i]))
				ring->keys[ring->count++] = both[k]->keys[i];
	sodium_mprotect_readonly(ring->keys);
	*ret = ring;
	return 0;
}
