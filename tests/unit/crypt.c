/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypt.c - unit tests of the crypt helpers: keys, encryption, and helpers that die.
 *
 * The keys are of tests/data/openpgp; that gpg, sq and rnp open the result is for
 * tests/system/test_pgp.py.
 */
#include "run.h"
#include <core/base/clock.h>
#include <core/crypt/helper.h>
#include <core/crypt/keys.h>
#include <core/crypt/packets.h>
#include <core/crypt/pool.h>
#include <core/mail/message.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];
static struct arena arena;

static struct pn_slice
file(const char *name)
{
	const char *top = getenv("POSTERN_SRCDIR");
	const char *path = arena_printf(&arena, "%s/tests/data/openpgp/%s", top ? top : ".", name);
	FILE *in = fopen(path, "rb");
	char *bytes = arena_alloc(&arena, 65536);
	size_t len;

	ck_assert_msg(in != NULL, "%s", path);
	len = fread(bytes, 1, 65536, in);
	fclose(in);
	return pn_slice(bytes, len);
}

static struct pool_question
question(enum frame_work work, const struct pn_slice *pieces, size_t count)
{
	return (struct pool_question){
		.folder = folder,
		.processes = 2,
		.work = work,
		.pieces = pieces,
		.piece_count = count,
		.due_ms = clock_monotonic_ms() + 120000,
	};
}

static const char *
content(const struct pool_answer *answer)
{
	char *text = arena_alloc(&arena, answer->size + 1);

	ck_assert_int_eq(pread(answer->out, text, answer->size, 0), (ssize_t)answer->size);
	return text;
}

static struct pn_openpgp_keys
inspect(struct pn_slice bytes, const char *address, uint32_t flags)
{
	const struct pn_slice pieces[] = { pn_slice_of(address), bytes };
	struct pool_question asked = question(FRAME_INSPECT, pieces, 2);
	struct pn_openpgp_keys keys;
	struct pool_answer answer;
	struct pn_error err = { 0 };
	int r;

	asked.flags = flags;
	r = pool_ask(&asked, &answer, &err);
	ck_assert_msg(r == 0, "%d %s", r, err.text);
	ck_assert_int_eq(keys_parse(pn_slice(content(&answer), answer.size), &arena, &keys), 0);
	pool_release(&answer);
	return keys;
}

static struct pn_slice
minimal(const char *name)
{
	struct pn_openpgp_keys keys = inspect(file(name), NULL, 0);

	ck_assert_uint_eq(keys.count, 1);
	ck_assert_msg(!keys.keys[0].reason, "%s", keys.keys[0].reason);
	return keys.keys[0].minimal;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static const struct {
	const char *file, *address;
	uint32_t flags;
	const char *reason; /* NULL: usable */
	const char *algorithm;
} keys_are[] = {
	{ "alice-public.asc", "alice@openpgp.example", 0, NULL, "ed25519/cv25519" },
	{ "alice-public.asc", "Alice@OpenPGP.example", 0, NULL, "ed25519/cv25519" },
	{ "alice-public.asc", NULL, 0, NULL, "ed25519/cv25519" },
	{ "alice-public.asc", "bob@openpgp.example", 0,
	    "has no valid user id with the address bob@openpgp.example", "ed25519/cv25519" },
	{ "alice-public.asc", "bob@openpgp.example", FRAME_PINNED, NULL, "ed25519/cv25519" },
	{ "alice-public.asc", "alice@openpgp.example.org", 0, "has no valid user id with the", "" },
	{ "alice-public.asc", "lice@openpgp.example", 0, "has no valid user id with the", "" },
	{ "bob-public.asc", "bob@openpgp.example", 0, NULL, "rsa3072/rsa3072" },
	{ "carol-public.asc", "carol@example.com", 0, NULL, "rsa4096/rsa4096" },
	{ "expired.asc", "alice@rnp", 0, "expired on 2020-07-02", "ed25519" },
	{ "no-subkey.asc", "basil@rnp", 0, "has no subkey for encryption", "nistp256" },
	{ "weak.asc", "nickolay@localhost", 0, "is too weak", "rsa1024" },
	{ "alice-secret.asc", "alice@openpgp.example", 0, "is a secret key", "" },
	{ "revoked.asc", "revoked@openpgp.example", 0, "was revoked", "" },
	{ "subkey-expired.asc", "subkey-expired@openpgp.example", 0,
	    "has no usable subkey for encryption: it expired on 20", "" },
	{ "subkey-revoked.asc", "subkey-revoked@openpgp.example", 0,
	    "has no usable subkey for encryption: it was revoked", "" },
};

START_TEST(keys_are_judged)
{
	struct pn_openpgp_keys keys = inspect(
	    file(keys_are[_i].file), keys_are[_i].address, keys_are[_i].flags);
	const struct pn_openpgp_key *key = &keys.keys[0];
	const char *want = keys_are[_i].reason;

	ck_assert_uint_eq(keys.count, 1);
	if (!want) {
		ck_assert_msg(!key->reason, "%s", key->reason);
		ck_assert(key->can_encrypt && !key->expired && !key->revoked && !key->secret);
		ck_assert_uint_gt(key->minimal.len, 0);
		ck_assert_uint_le(key->minimal.len, 8192);
		ck_assert_uint_eq(strlen(key->fingerprint), 40);
	} else {
		ck_assert(key->reason != NULL);
		ck_assert_msg(strncmp(key->reason, want, strlen(want)) == 0, "%s", key->reason);
		ck_assert_uint_eq(key->minimal.len, 0);
	}
	if (keys_are[_i].algorithm[0])
		ck_assert_str_eq(key->algorithm, keys_are[_i].algorithm);
}
END_TEST

/* Several in one file, text around the armour; the second of them is of a version to come. */
START_TEST(keys_stand_together)
{
	static const char v6[] = "\xc6\x0b\x06\x00\x00\x00\x00\x1b\x00\x00\x00\x01\x01";
	struct pn_slice alice = file("alice-public.asc"), bob = file("bob-public.asc");
	struct pn_slice small = minimal("carol-public.asc");
	char *both = arena_printf(&arena, "Alice:\r\n%.*s\nBob:\n%.*s", (int)alice.len, alice.data,
	    (int)bob.len, bob.data);
	struct pn_openpgp_keys keys = inspect(pn_slice_of(both), "bob@openpgp.example", 0);
	char mixed[8300];

	ck_assert_uint_eq(keys.count, 2);
	ck_assert_str_eq(keys.keys[0].addresses[0], "alice@openpgp.example");
	ck_assert(keys.keys[0].reason != NULL);
	ck_assert(!keys.keys[1].reason);
	ck_assert_str_eq(keys.keys[1].user_ids[0], "Bob Babbage <bob@openpgp.example>");

	memcpy(mixed, v6, sizeof(v6) - 1);
	memcpy(mixed + sizeof(v6) - 1, small.data, small.len);
	keys = inspect(pn_slice(mixed, sizeof(v6) - 1 + small.len), "carol@example.com", 0);
	ck_assert_uint_eq(keys.count, 2);
	ck_assert_int_eq(keys.keys[0].version, 6);
	ck_assert(strstr(keys.keys[0].reason, "version 6") != NULL);
	ck_assert(!keys.keys[1].reason);
}
END_TEST

/* What is chosen is the same when it is looked at again, and as small as it gets. */
START_TEST(minimal_keys_are_minimal)
{
	struct pn_slice once = minimal("carol-public.asc"), rest = once;
	struct pn_openpgp_keys again = inspect(once, "carol@example.com", 0);
	struct packet packet;
	int count[64] = { 0 };

	ck_assert(!again.keys[0].reason);
	ck_assert(pn_slice_equals(once, again.keys[0].minimal));
	while (packet_next(&rest, &packet) > 0)
		count[packet.tag]++;
	ck_assert_int_eq(count[PACKET_PUBLIC_KEY], 1);
	ck_assert_int_eq(count[PACKET_USER_ID], 1);
	ck_assert_int_eq(count[PACKET_PUBLIC_SUBKEY], 1);
	ck_assert_int_eq(count[PACKET_SIGNATURE], 2);
}
END_TEST

START_TEST(other_bytes_are_no_keys)
{
	const struct pn_slice pieces[] = { pn_slice_of(NULL), pn_slice_of("\x99\x01\x0d\x04") };
	struct pool_question asked = question(FRAME_INSPECT, pieces, 2);
	struct pool_answer answer;
	struct pn_error err;

	ck_assert_uint_eq(inspect(pn_slice_of("no keys at all\n"), NULL, 0).count, 0);
	ck_assert_int_eq(pool_ask(&asked, &answer, &err), -EBADMSG);
	ck_assert_msg(strstr(err.text, "cut short") != NULL, "%s", err.text);
}
END_TEST

/* ---- encryption ------------------------------------------------------------------------------ */

static int
encrypt(const struct pn_slice *keys, size_t count, struct pn_slice body, uint32_t flags,
    struct pool_answer *answer, struct pn_error *err)
{
	struct pool_question asked = question(FRAME_ENCRYPT, keys, count);

	asked.flags = flags;
	asked.body = &body;
	asked.body_count = 1;
	return pool_ask(&asked, answer, err);
}

/* The packets of an armoured message: key ids of recipients in `ret`, hexadecimal. */
static struct pn_slice
binary(const struct pool_answer *answer)
{
	struct pn_slice bytes;
	struct pn_error err = { 0 };

	ck_assert_msg(
	    packets_unarmour(pn_slice(content(answer), answer->size), &arena, &bytes, &err) == 0,
	    "%s", err.text);
	return bytes;
}

START_TEST(bodies_are_encrypted)
{
	const struct pn_slice keys[] = { minimal("alice-public.asc"), minimal("bob-public.asc") };
	struct pool_answer answer;
	struct pn_error err = { 0 };
	struct pn_slice bytes;
	struct packet packet;

	ck_assert_msg(
	    encrypt(keys, 2, pn_slice_of("hello"), 0, &answer, &err) == 0, "%s", err.text);
	ck_assert(strncmp(content(&answer), "-----BEGIN PGP MESSAGE-----\n\n", 29) == 0);
	bytes = binary(&answer);
	for (int i = 0; i < 2; i++) { /* who they are for is said */
		ck_assert_int_gt(packet_next(&bytes, &packet), 0);
		ck_assert_int_eq(packet.tag, 1);
		ck_assert(memcmp(packet.body.data + 1, "\0\0\0\0\0\0\0\0", 8) != 0);
	}
	/* integrity protected; of version 1, as neither key announces AEAD */
	ck_assert_int_eq((unsigned char)bytes.data[0] & 0x3f, 18);
	pool_release(&answer);

	ck_assert_msg(encrypt(keys, 2, pn_slice_of("hello"), FRAME_HIDDEN, &answer, &err) == 0,
	    "%s", err.text);
	bytes = binary(&answer);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_gt(packet_next(&bytes, &packet), 0);
		ck_assert(memcmp(packet.body.data + 1, "\0\0\0\0\0\0\0\0", 8) == 0);
	}
	pool_release(&answer);
	ck_assert_uint_eq(mail_bytes_in_use(), 0);
}
END_TEST

START_TEST(bad_keys_are_named)
{
	struct pn_slice bad, keys[2];
	struct pool_answer answer;
	struct pn_error err = { 0 };

	ck_assert_int_eq(packets_unarmour(file("expired.asc"), &arena, &bad, &err), 0);
	keys[0] = minimal("alice-public.asc");
	keys[1] = bad;
	ck_assert_int_lt(encrypt(keys, 2, pn_slice_of("hello"), 0, &answer, &err), 0);
	ck_assert_int_eq(answer.culprit, 1);
	ck_assert_int_eq(answer.out, -1);
	ck_assert_uint_eq(mail_bytes_in_use(), 0);
}
END_TEST

START_TEST(memory_is_bounded)
{
	const struct pn_slice key = minimal("alice-public.asc");
	struct pool_answer answer;
	struct pn_error err = { 0 };
	char *large = arena_alloc(&arena, 1 << 20);

	mail_bytes_budget(1 << 20);
	ck_assert_int_eq(encrypt(&key, 1, pn_slice(large, 1 << 20), 0, &answer, &err), -ENOMEM);
	mail_bytes_budget(16 << 20);
	ck_assert_int_eq(encrypt(&key, 1, pn_slice(large, 1 << 20), 0, &answer, &err), 0);
	pool_release(&answer);
	mail_bytes_budget(0);
}
END_TEST

/* ---- helpers that die ------------------------------------------------------------------------ */

static void *
kill_helpers(void *arg)
{
	int *left = arg, pids[POOL_PROCESSES_MOST];

	while (__atomic_load_n(left, __ATOMIC_RELAXED) > 0) {
		size_t count = pool_pids(pids, POOL_PROCESSES_MOST);

		for (size_t i = 0; i < count; i++)
			kill(pids[i], SIGKILL);
		__atomic_fetch_sub(left, (int)count, __ATOMIC_RELAXED);
		usleep(3000);
	}
	return NULL;
}

/* Every question is asked in a helper that is killed, until two have been. */
START_TEST(a_culprit_is_refused)
{
	const struct pn_slice key = minimal("alice-public.asc");
	struct pool_answer answer;
	struct pn_error err = { 0 };
	pthread_t killer;
	int left = 1 << 30, r;

	ck_assert_int_eq(pthread_create(&killer, NULL, kill_helpers, &left), 0);
	do { /* one that had died before is nobody's fault, and one may be too quick */
		r = encrypt(&key, 1, pn_slice_of("the culprit"), 0, &answer, &err);
		if (r == 0)
			pool_release(&answer);
	} while (r != -ENOTRECOVERABLE);
	__atomic_store_n(&left, 0, __ATOMIC_RELAXED);
	pthread_join(killer, NULL);
	ck_assert_msg(strstr(err.text, "has ended 2 crypt processes") != NULL, "%s", err.text);
	ck_assert_int_eq(
	    encrypt(&key, 1, pn_slice_of("the culprit"), 0, &answer, &err), -ENOTRECOVERABLE);
	ck_assert_uint_eq(answer.deaths, 0); /* not even asked */
	ck_assert_int_eq(encrypt(&key, 1, pn_slice_of("another"), 0, &answer, &err), 0);
	pool_release(&answer);
}
END_TEST

static bool
stop_now(const void *arg)
{
	return true;
}

/* A disk that is full is no damaged key. Only root can have one here. */
START_TEST(no_room_is_no_judgement)
{
	const struct pn_slice none[] = { pn_slice_of(NULL), pn_slice_of("no keys at all\n") },
			      keys[] = { pn_slice_of(NULL), file("alice-public.asc") };
	struct pool_question first = question(FRAME_INSPECT, none, 2),
			     asked = question(FRAME_INSPECT, keys, 2);
	const char *full = arena_printf(&arena, "%s/full", folder),
		   *fill = arena_printf(&arena, "%s/fill", full);
	struct pool_answer answer;
	struct pn_error err = { 0 };
	char zeros[4096] = { 0 };
	int fd;

	ck_assert_int_eq(mkdir(full, 0700), 0);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", full, "tmpfs", 0, "size=256k") < 0) {
		rmdir(full);
		printf("SKIPPED a full disk: nothing may be mounted here\n");
		return;
	}
	first.folder = asked.folder = full;
	first.processes = asked.processes = 1;
	ck_assert_int_eq(pool_ask(&first, &answer, &err), 0);
	pool_release(&answer);
	fd = open(fill, O_WRONLY | O_CREAT, 0600);
	ck_assert_int_ge(fd, 0);
	while (write(fd, zeros, sizeof(zeros)) == (ssize_t)sizeof(zeros))
		;
	/* None at all, which gpg says; and as much as its files need that are empty. */
	for (off_t left = 0; left <= 8192; left += 4096) {
		int r;

		ck_assert_int_eq(ftruncate(fd, lseek(fd, 0, SEEK_END) - (left ? 4096 : 0)), 0);
		r = pool_ask(&asked, &answer, &err);
		ck_assert_msg(r < 0 && r != -EBADMSG, "%d bytes left: %d", (int)left, r);
	}
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	ck_assert_int_eq(pool_ask(&asked, &answer, &err), 0);
	ck_assert_ptr_null(strstr(content(&answer), "damaged"));
	pool_release(&answer);
	pool_end();
	close(fd);
	unlink(fill);
	umount(full);
	rmdir(full);
}
END_TEST

/* A question out of time ends its helper and is no culprit. */
START_TEST(time_is_nobodys_fault)
{
	const struct pn_slice key = minimal("alice-public.asc");
	struct pn_slice body = pn_slice_of("late");
	struct pool_question asked = question(FRAME_ENCRYPT, &key, 1);
	struct pool_answer answer;
	struct pn_error err = { 0 };

	asked.body = &body;
	asked.body_count = 1;
	for (int i = 0; i < 3; i++) {
		asked.due_ms = clock_monotonic_ms();
		ck_assert_int_eq(pool_ask(&asked, &answer, &err), -ETIMEDOUT);
		asked.due_ms += 60000;
		asked.stop = stop_now;
		ck_assert_int_eq(pool_ask(&asked, &answer, &err), -ECANCELED);
		asked.stop = NULL;
	}
	ck_assert_int_eq(encrypt(&key, 1, body, 0, &answer, &err), 0);
	pool_release(&answer);
}
END_TEST

static size_t
entries(const char *path)
{
	DIR *open = opendir(path);
	size_t count = 0;

	ck_assert(open != NULL);
	while (readdir(open))
		count++;
	closedir(open);
	return count - 2;
}

static void *
ask_often(void *arg)
{
	const struct pn_slice *key = arg;
	long failed = 0;

	for (int i = 0; i < 12; i++) {
		char text[64];
		struct pool_answer answer;
		struct pn_error err = { 0 };
		struct pn_slice body;
		struct pool_question asked = question(FRAME_ENCRYPT, key, 1);
		int r;

		snprintf(text, sizeof(text), "%lx %d", (unsigned long)pthread_self(), i);
		body = pn_slice_of(text);
		asked.body = &body;
		asked.body_count = 1;
		r = pool_ask(&asked, &answer, &err);
		failed += r < 0 && r != -ENOTRECOVERABLE;
		if (r == 0)
			pool_release(&answer);
	}
	return (void *)failed;
}

/* Helpers are killed under load: nothing is lost or left behind. */
START_TEST(kills_under_load)
{
	struct pn_slice key = minimal("alice-public.asc");
	pthread_t askers[6], killer;
	size_t fds = entries("/proc/self/fd");
	int left = 10;

	pool_end();
	fds = entries("/proc/self/fd");
	ck_assert_int_eq(pthread_create(&killer, NULL, kill_helpers, &left), 0);
	for (size_t i = 0; i < 6; i++)
		ck_assert_int_eq(pthread_create(&askers[i], NULL, ask_often, &key), 0);
	for (size_t i = 0; i < 6; i++) {
		void *failed;

		pthread_join(askers[i], &failed);
		ck_assert_ptr_null(failed);
	}
	__atomic_store_n(&left, 0, __ATOMIC_RELAXED);
	pthread_join(killer, NULL);
	pool_end();
	ck_assert_uint_eq(entries("/proc/self/fd"), fds);
	ck_assert_uint_eq(entries(folder), 0);
	ck_assert_uint_eq(mail_bytes_in_use(), 0);
}
END_TEST

/* Of a helper, in its own words: what it was given. */
START_TEST(helpers_have_nothing)
{
	int pids[POOL_PROCESSES_MOST];
	char path[64], text[4096] = "";
	FILE *in;
	size_t len;

	inspect(file("alice-public.asc"), NULL, 0);
	ck_assert_uint_ge(pool_pids(pids, POOL_PROCESSES_MOST), 1);
	snprintf(path, sizeof(path), "/proc/%d/environ", pids[0]);
	in = fopen(path, "r");
	ck_assert(in != NULL);
	len = fread(text, 1, sizeof(text), in);
	fclose(in);
	for (const char *at = text; at < text + len; at += strlen(at) + 1)
		ck_assert_msg(strncmp(at, "PATH=", 5) == 0 || strncmp(at, "LC_ALL=", 7) == 0 ||
				  strncmp(at, "GNUPGHOME=", 10) == 0,
		    "%s", at);
	snprintf(path, sizeof(path), "/proc/%d/fd", pids[0]);
	ck_assert_uint_eq(entries(path), 4);
	snprintf(path, sizeof(path), "/proc/%d/status", pids[0]);
	in = fopen(path, "r");
	ck_assert(in != NULL);
	text[fread(text, 1, sizeof(text) - 1, in)] = '\0';
	fclose(in);
	ck_assert(strstr(text, "NoNewPrivs:\t1") != NULL);
}
END_TEST

/* ---- packets --------------------------------------------------------------------------------- */

static const struct {
	const char *bytes;
	size_t len;
	int r, tag;
	size_t body;
} packets[] = {
	{ "\xc6\x02xy", 4, 1, 6, 2 },
	{ "\x99\x00\x02"
	  "ab",
	    5, 1, 6, 2 },
	{ "\xc6\xff\x00\x00\x00\x01"
	  "a",
	    7, 1, 6, 1 },
	{ "\xc6\x03xy", 4, -EBADMSG, 0, 0 },
	{ "\xc6\xff\xff\xff\xff\xff"
	  "a",
	    7, -EBADMSG, 0, 0 },
	{ "\xc6\xe1"
	  "a",
	    3, -EBADMSG, 0, 0 }, /* partial */
	{ "\x9b"
	  "a",
	    2, -EBADMSG, 0, 0 }, /* open */
	{ "\xc6", 1, -EBADMSG, 0, 0 },
	{ "text", 4, -EBADMSG, 0, 0 },
	{ "", 0, 0, 0, 0 },
};

START_TEST(packets_are_measured)
{
	struct pn_slice rest = pn_slice(packets[_i].bytes, packets[_i].len);
	struct packet packet = { 0 };

	ck_assert_int_eq(packet_next(&rest, &packet), packets[_i].r);
	if (packets[_i].r <= 0)
		return;
	ck_assert_int_eq(packet.tag, packets[_i].tag);
	ck_assert_uint_eq(packet.body.len, packets[_i].body);
	ck_assert_uint_eq(rest.len, 0);
}
END_TEST

static void
set_up(void)
{
	strcpy(folder, "/tmp/postern-unit-crypt-XXXXXX");
	ck_assert(mkdtemp(folder) != NULL);
}

static void
tear_down(void)
{
	pool_end();
	ck_assert_uint_eq(entries(folder), 0); /* homes are gone */
	rmdir(folder);
	arena_free(&arena);
}

int
main(int argc, char **argv)
{
	Suite *suite = suite_create("crypt");
	TCase *tests = tcase_create("crypt");

	if (helper_wanted(argc, argv))
		return helper_main();
	tcase_set_timeout(tests, 120);
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_loop_test(tests, keys_are_judged, 0, sizeof(keys_are) / sizeof(keys_are[0]));
	tcase_add_test(tests, keys_stand_together);
	tcase_add_test(tests, minimal_keys_are_minimal);
	tcase_add_test(tests, other_bytes_are_no_keys);
	tcase_add_test(tests, bodies_are_encrypted);
	tcase_add_test(tests, bad_keys_are_named);
	tcase_add_test(tests, memory_is_bounded);
	tcase_add_test(tests, a_culprit_is_refused);
	tcase_add_test(tests, no_room_is_no_judgement);
	tcase_add_test(tests, time_is_nobodys_fault);
	tcase_add_test(tests, kills_under_load);
	tcase_add_test(tests, helpers_have_nothing);
	tcase_add_loop_test(tests, packets_are_measured, 0, sizeof(packets) / sizeof(packets[0]));
	suite_add_tcase(suite, tests);
	return unit_run(suite);
}
