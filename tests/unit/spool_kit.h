/* SPDX-License-Identifier: Apache-2.0 */
/* spool_kit.h - small helpers shared by the tests of the spool. */
#ifndef TESTS_UNIT_SPOOL_KIT_H
#define TESTS_UNIT_SPOOL_KIT_H

#include <check.h>
#include <core/config/keyring.h>
#include <core/queue/spool.h>
#include <glib.h>
#include <pthread.h>

#define KIT_FOLDER "spool"

/* What a recovery handed out, and what else was told to be damaged. */
struct kit {
	struct spool *spool;
	GPtrArray *items; /* of struct item */
	GPtrArray *asides, *whats;
	struct pn_error err;
	const char *keys; /* text of a keyring; NULL: KIT_KEYS */
	bool no_index;
};

/* Some tests are built a second time with keys: the same must hold with encryption. */
#ifdef KIT_ENCRYPTED
#define KIT_KEYS "test 00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef"
#else
#define KIT_KEYS NULL
#endif
/* NULL: no keys. The caller's to release. */
struct keyring *kit_keys(const char *text);

/* All zero is ready. Opens with small segments; returns what spool_open returned. */
int kit_open(struct kit *kit, const struct segment_io *io, const char *folder, uint64_t reserve);
void kit_close(struct kit *kit);
struct item *kit_find(const struct kit *kit, const char *id);

/* A message with `size` bytes that its id makes different from others. */
struct item *kit_item(size_t size, size_t recipients);
void kit_check_body(const struct item *item, const struct mail_bytes *bytes);

/* Appends and waits for the answer. */
int kit_append(struct kit *kit, struct item *item);
/* What spool_sync() answers. */
int kit_sync(struct kit *kit);
/* A new message, accepted. */
struct item *kit_accept(struct kit *kit, size_t size, size_t recipients);
/* What the spool reads back is what kit_item() made. */
void kit_check_read(struct kit *kit, const struct item *item);

#endif
