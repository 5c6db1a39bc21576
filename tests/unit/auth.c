/* SPDX-License-Identifier: Apache-2.0 */
/* auth.c - unit tests of the module auth, in a generation and by its parts. */
#include "policy_world.h"
#include "run.h"
#include <check.h>
#include <core/ctl/console.h>
#include <core/mail/address.h>
#include <errno.h>
#include <modules/auth/app_password.h>
#include <modules/auth/breaker.h>
#include <modules/auth/cache.h>
#include <modules/auth/dovecot_line.h>
#include <modules/auth/scram.h>
#include <modules/auth/throttle.h>
#include <modules/auth/verifier.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

static struct world world;

/* Runs `user passwd` with the password on standard input. */
static void
set_password(const char *user, const char *password)
{
	char *words[] = { (char[]){ "user" }, (char[]){ "passwd" }, NULL };
	char name[MAIL_ADDRESS_SIZE], line[200];
	char *arguments[] = { name, NULL };
	const struct chain_entry *entry;
	const struct pn_command *command;
	struct pn_console console;
	struct pn_error err = { 0 };
	int ends[2], count, saved = dup(STDIN_FILENO);

	snprintf(name, sizeof(name), "%s", user);
	snprintf(line, sizeof(line), "%s\n", password);
	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(write(ends[1], line, strlen(line)), (int)strlen(line));
	close(ends[1]);
	dup2(ends[0], STDIN_FILENO);
	close(ends[0]);
	command = generation_command(world.generation, 2, words, &entry, &count);
	ck_assert_ptr_nonnull(command);
	ck_assert_int_eq(console_open(&console, true), 0);
	ck_assert_msg(generation_command_run(world.generation, "root", entry, command, &console, 1,
			  arguments, &err) == 0,
	    "%s", err.text);
	console_close(&console);
	dup2(saved, STDIN_FILENO);
	close(saved);
}

static void
run_with(const char *settings)
{
	char text[400];

	snprintf(text, sizeof(text), "auth: { %s }\n", settings);
	world_run(&world, "  - auth\n", text);
	world_begin(&world);
}

static void
setup(void)
{
	static const char *const users[] = { "ada@example.org", "off@example.org",
		"none@example.org" };

	world_open(&world);
	for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++)
		ck_assert_int_eq(directory_user_add(world.db, users[i], NULL), 0);
	ck_assert_int_eq(directory_user_enable(world.db, users[1], false, NULL), 0);
	run_with("");
	set_password("ada@EXAMPLE.org", "secret");
	set_password("off@example.org", "secret");
}

static void
teardown(void)
{
	world_close(&world);
}

static enum ruling_kind
say(const char *mechanism, struct pn_slice response)
{
	world.txn->mechanism = mechanism;
	world.txn->response = response;
	return world_stage(&world, PN_STAGE_AUTH);
}

/* One attempt by PLAIN; `as` is the authorization identity. The code, 235 for success. */
static int
plain_as(const char *as, const char *user, const char *password)
{
	char response[400];
	int len = snprintf(response, sizeof(response), "%s%c%s%c%s", as, 0, user, 0, password);

	switch (say("PLAIN", pn_slice(response, (size_t)len))) {
	case RULING_IDENTIFIED:
		return 235;
	case RULING_REJECT:
	case RULING_DEFER:
		return world.ruling.code;
	default:
		return 0;
	}
}

static int
plain(const char *user, const char *password)
{
	return plain_as("", user, password);
}

/* ---- the module ------------------------------------------------------------------------------ */

static const struct {
	const char *as, *user, *password;
	int code;
} attempts[] = {
	{ "", "ada@example.org", "secret", 235 },
	{ "", "ada@EXAMPLE.org", "secret", 235 },
	{ "ada@example.org", "ada@example.org", "secret", 235 },
	{ "bo@example.org", "ada@example.org", "secret", 535 },
	{ "", "ada@example.org", "Secret", 535 },
	{ "", "ada@example.org", "secret ", 535 },
	{ "", "Ada@example.org", "secret", 235 },
	{ "", "ada", "secret", 535 },
	{ "", "nobody@example.org", "secret", 535 },
	{ "", "none@example.org", "secret", 535 },
	{ "", "off@example.org", "secret", 535 },
	{ "", "off@example.org", "wrong", 535 },
	{ "", "ada@example.org", "", 535 },
	{ "", "", "secret", 501 },
};

START_TEST(attempts_are_judged)
{
	int code = plain_as(attempts[_i].as, attempts[_i].user, attempts[_i].password);

	if (attempts[_i].code == 501) /* an empty name is malformed to some, nobody's to others */
		ck_assert(code == 501 || code == 535);
	else
		ck_assert_int_eq(code, attempts[_i].code);
	if (code == 235)
		ck_assert_str_eq(world.ruling.text, "ada@example.org");
	if (code == 535) {
		ck_assert_str_eq(world.ruling.enhanced, "5.7.8");
		ck_assert_str_eq(world.ruling.text, "Authentication credentials invalid");
	}
	ck_assert_ptr_null(world.txn->kept);
}
END_TEST

START_TEST(plain_without_initial_response)
{
	ck_assert_int_eq(say("PLAIN", pn_slice(NULL, 0)), RULING_CHALLENGE);
	ck_assert_uint_eq(world.ruling.challenge.len, 0);
	ck_assert_uint_eq(world.hops, 0);
	ck_assert_int_eq(
	    say("PLAIN", pn_slice("\0ada@example.org\0secret", 23)), RULING_IDENTIFIED);
}
END_TEST

START_TEST(login_asks_twice)
{
	ck_assert_int_eq(say("LOGIN", pn_slice(NULL, 0)), RULING_CHALLENGE);
	ck_assert(pn_slice_equals(world.ruling.challenge, pn_slice_of("Username:")));
	ck_assert_int_eq(say("LOGIN", pn_slice_of("ada@example.org")), RULING_CHALLENGE);
	ck_assert(pn_slice_equals(world.ruling.challenge, pn_slice_of("Password:")));
	ck_assert_int_eq(say("LOGIN", pn_slice_of("secret")), RULING_IDENTIFIED);
	ck_assert_str_eq(world.ruling.text, "ada@example.org");
}
END_TEST

START_TEST(login_with_the_name_at_once)
{
	ck_assert_int_eq(say("LOGIN", pn_slice_of("ada@example.org")), RULING_CHALLENGE);
	ck_assert(pn_slice_equals(world.ruling.challenge, pn_slice_of("Password:")));
	ck_assert_int_eq(say("LOGIN", pn_slice_of("wrong")), RULING_REJECT);
	ck_assert_int_eq(world.ruling.code, 535);
}
END_TEST

static const struct {
	const char *mechanism;
	struct pn_slice response;
} malformed[] = {
	{ "PLAIN", { "no zeroes", 9 } },
	{ "PLAIN", { "\0one zero", 9 } },
	{ "PLAIN", { "", 0 } },
	{ "PLAIN", { "\0\0b", 3 } },
	{ "PLAIN", { "\0a\0b\0c", 6 } },
	{ "PLAIN", { "\0a\0\xff", 4 } },
	{ "PLAIN", { "\0\xc3\0b", 4 } },
	{ "LOGIN", { "", 0 } },
	{ "LOGIN", { "a\0b", 3 } },
};

START_TEST(malformed_responses)
{
	enum ruling_kind kind = say(malformed[_i].mechanism, malformed[_i].response);

	/* an empty response may be answered by asking again */
	if (kind == RULING_CHALLENGE)
		kind = say(malformed[_i].mechanism, malformed[_i].response);
	ck_assert_int_eq(kind, RULING_REJECT);
	ck_assert(world.ruling.code == 501 || world.ruling.code == 535);
}
END_TEST

START_TEST(mechanisms_are_offered_as_configured)
{
	world_stage(&world, PN_STAGE_HELO);
	ck_assert_str_eq(buf_text(&world.txn->offers), "PLAIN LOGIN");
	run_with("mechanisms: [login]");
	world_stage(&world, PN_STAGE_HELO);
	ck_assert_str_eq(buf_text(&world.txn->offers), "LOGIN");
	/* not offered, so not this entry's */
	ck_assert_int_eq(plain("ada@example.org", "secret"), 0);
	ck_assert_int_eq(say("SCRAM-SHA-256", pn_slice_of("x")), RULING_PASS);
}
END_TEST

/* The second time no thread is needed: Gmail logs in for every message. */
START_TEST(a_right_password_is_remembered)
{
	ck_assert_int_eq(plain("ada@example.org", "secret"), 235);
	ck_assert_uint_eq(world.hops, 1);
	ck_assert_int_eq(plain("ada@example.org", "secret"), 235);
	ck_assert_uint_eq(world.hops, 0);
	ck_assert_str_eq(world.ruling.text, "ada@example.org");
	ck_assert_int_eq(plain("ada@example.org", "wrong"), 535);
	ck_assert_uint_eq(world.hops, 1);
	ck_assert_int_eq(plain("ada@example.org", "wrong"), 535);
	ck_assert_uint_eq(world.hops, 1);
	/* and survives a reload */
	run_with("cache: 20m");
	ck_assert_int_eq(plain("ada@example.org", "secret"), 235);
	ck_assert_uint_eq(world.hops, 0);
	run_with("cache: 0s");
	ck_assert_int_eq(plain("ada@example.org", "secret"), 235);
	ck_assert_uint_eq(world.hops, 1);
}
END_TEST

/* With `recheck: 0s` every use asks the database, as every use does after 30 s by default. */
START_TEST(a_change_is_noticed)
{
	run_with("recheck: 0s");
	ck_assert_int_eq(plain("ada@example.org", "secret"), 235);
	ck_assert_int_eq(plain("ada@example.org", "secret"), 235);
	ck_assert_uint_eq(world.hops, 1);
	ck_assert_int_eq(directory_user_enable(world.db, "ada@example.org", false, NULL), 0);
	ck_assert_int_eq(plain("ada@example.org", "secret"), 535);
	ck_assert_int_eq(directory_user_enable(world.db, "ada@example.org", true, NULL), 0);
	ck_assert_int_eq(plain("ada@example.org", "secret"), 235);
	set_password("ada@example.org", "changed");
	ck_assert_int_eq(plain("ada@example.org", "secret"), 535);
	ck_assert_int_eq(plain("ada@example.org", "changed"), 235);
	ck_assert_int_eq(directory_user_remove(world.db, "ada@example.org", NULL), 0);
	ck_assert_int_eq(plain("ada@example.org", "changed"), 535);
	/* a password does not come back with a new user of the same name */
	ck_assert_int_eq(directory_user_add(world.db, "ada@example.org", NULL), 0);
	ck_assert_int_eq(plain("ada@example.org", "changed"), 535);
}
END_TEST

START_TEST(passwords_look_alike_in_any_composition)
{
	set_password("ada@example.org", "caf\xc3\xa9");
	ck_assert_int_eq(plain("ada@example.org", "cafe\xcc\x81"), 235);
	ck_assert_int_eq(plain("ada@example.org", "cafe"), 535);
}
END_TEST

START_TEST(guessing_is_limited)
{
	run_with("failures: { per_client_and_user: 2, per_user: 3 }");
	ck_assert_int_eq(plain("ada@example.org", "secret"), 235);
	ck_assert_int_eq(plain("ada@example.org", "x"), 535);
	ck_assert_int_eq(plain("ada@EXAMPLE.ORG", "y"), 535);
	/* now even the right one, though it is remembered */
	ck_assert_int_eq(plain("ada@example.org", "secret"), 454);
	ck_assert_str_eq(world.ruling.enhanced, "4.7.0");
	ck_assert_uint_eq(world.hops, 0);
	/* another client, and another user from this one */
	world.txn->facts.client_address = "198.51.100.9";
	ck_assert_int_eq(plain("ada@example.org", "z"), 535);
	ck_assert_int_eq(plain("ada@example.org", "secret"), 454); /* by user */
	world.txn->facts.client_address = "192.0.2.7";
	ck_assert_int_eq(plain("nobody@example.org", "x"), 535);
}
END_TEST

/* Full width, circled, with a soft hyphen: all of them are example.org. */
START_TEST(guessing_is_limited_however_it_is_spelt)
{
	run_with("failures: { per_client_and_user: 2, per_user: 3 }");
	ck_assert_int_eq(plain("ada@\uff45xample.org", "secret"), 235);
	ck_assert_int_eq(plain("ada@\uff45xample.org", "x"), 535);
	ck_assert_int_eq(plain("ada@ex\u00ad"
			       "ample.org",
			     "y"),
	    535);
	ck_assert_int_eq(plain("ada@\u24d4xample.org", "secret"), 454);
}
END_TEST

/* Without its table: never 535, which would make clients throw passwords away. */
START_TEST(a_broken_database_is_no_wrong_password)
{
	ck_assert_int_eq(db_run(world.db, NULL, "DROP TABLE auth_passwords", PN_NO_VALUES), 0);
	ck_assert_int_eq(plain("ada@example.org", "secret"), 454);
	ck_assert_str_eq(world.ruling.enhanced, "4.7.0");
	ck_assert_int_eq(plain("nobody@example.org", "secret"), 454);
}
END_TEST

/* Many sessions at once, each with a transaction of its own; a miss is the thread's to verify. */
static void *
log_in_often(void *arg)
{
	struct pn_txn *txn = txn_new(world.generation, &world.txn->facts);
	const char *const passwords[] = { "secret", "wrong" };
	struct ruling ruling;
	char response[100];

	for (int i = 0; i < 20; i++) {
		struct chain_run run = { 0 };
		const char *password = passwords[i % 10 == 9];
		int len = snprintf(
		    response, sizeof(response), "%cada@example.org%c%s", 0, 0, password);

		txn->mechanism = "PLAIN";
		txn->response = pn_slice(response, (size_t)len);
		ck_assert_int_eq(chain_run(&run, txn, PN_STAGE_AUTH, true, &ruling), CHAIN_DONE);
		ck_assert_int_eq(ruling.kind, i % 10 == 9 ? RULING_REJECT : RULING_IDENTIFIED);
	}
	txn_free(&txn);
	return arg;
}

START_TEST(many_at_once)
{
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, log_in_often, NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}
END_TEST

/* ---- its parts ------------------------------------------------------------------------------- */

START_TEST(cache_by_the_clock)
{
	const struct cache_hit put = {
		.user = "ada@example.org", .source = CACHE_BY_OTHERS, .changed = 7
	};
	struct auth_cache *cache = NULL;
	struct cache_key key, other;
	struct cache_hit hit;

	ck_assert_int_eq(auth_cache_new(&cache), 0);
	auth_cache_key(cache, "ada", pn_slice_of("secret"), &key);
	auth_cache_key(cache, "adas", pn_slice_of("ecret"), &other);
	ck_assert(memcmp(&key, &other, sizeof(key)) != 0);
	ck_assert_int_eq(auth_cache_find(cache, &key, 0, 600, 30, &hit), CACHE_MISS);
	auth_cache_put(cache, &key, &put, 0);
	ck_assert_int_eq(auth_cache_find(cache, &key, 29, 600, 30, &hit), CACHE_HIT);
	ck_assert_str_eq(hit.user, "ada@example.org");
	ck_assert_int_eq(auth_cache_find(cache, &key, 30, 600, 30, &hit), CACHE_STALE);
	ck_assert_int_eq(hit.changed, 7);
	ck_assert_int_eq(hit.source, CACHE_BY_OTHERS);
	auth_cache_touch(cache, &key, 30);
	ck_assert_int_eq(auth_cache_find(cache, &key, 59, 600, 30, &hit), CACHE_HIT);
	auth_cache_touch(cache, &key, 599);
	ck_assert_int_eq(auth_cache_find(cache, &key, 599, 600, 30, &hit), CACHE_HIT);
	ck_assert_int_eq(auth_cache_find(cache, &key, 600, 600, 30, &hit), CACHE_MISS);
	auth_cache_put(cache, &key, &put, 0);
	auth_cache_drop(cache, &key);
	ck_assert_int_eq(auth_cache_find(cache, &key, 0, 600, 30, &hit), CACHE_MISS);
	ck_assert_int_eq(auth_cache_find(cache, &other, 0, 600, 30, &hit), CACHE_MISS);
	auth_cache_free(&cache);
}
END_TEST

START_TEST(cache_has_a_ceiling)
{
	const struct cache_hit put = { .user = "ada@example.org" };
	struct auth_cache *cache = NULL;
	struct cache_key key;
	struct cache_hit hit;
	char name[20];
	int found = 0;

	ck_assert_int_eq(auth_cache_new(&cache), 0);
	for (int i = 0; i < 50001; i++) {
		snprintf(name, sizeof(name), "%d", i);
		auth_cache_key(cache, name, pn_slice_of("x"), &key);
		auth_cache_put(cache, &key, &put, 0);
	}
	for (int i = 0; i < 50001; i++) {
		snprintf(name, sizeof(name), "%d", i);
		auth_cache_key(cache, name, pn_slice_of("x"), &key);
		found += auth_cache_find(cache, &key, 0, 1, 1, &hit) == CACHE_HIT;
	}
	ck_assert_int_eq(found, 10001);
	auth_cache_free(&cache);
}
END_TEST

static const struct throttle_client *
client(const char *address)
{
	static struct throttle_client found;

	throttle_client_of(address, false, &found);
	return &found;
}

/* IPv6 by /64, whatever the spelling; the networks that many share are one client with more room.
 */
START_TEST(throttle_by_network)
{
	const struct auth_failures limits = { 2, 4, 100 };
	struct throttle_client shared, same;
	struct throttle *throttle = NULL;

	ck_assert_str_eq(client("2001:db8:0:1::25")->text, "2001:db8:0:1::");
	ck_assert_str_eq(client("2001:DB8:0:1:ffff::1")->text, "2001:db8:0:1::");
	ck_assert_str_eq(client("2001:db8:0:2::25")->text, "2001:db8:0:2::");
	ck_assert_str_eq(client("192.0.2.7")->text, "192.0.2.7");
	ck_assert_int_eq(throttle_new(&throttle), 0);
	throttle_failure(throttle, &limits, client("2001:db8:0:1::25"), "ada", 0);
	throttle_failure(throttle, &limits, client("2001:db8:0:1::26"), "ada", 0);
	ck_assert(throttle_blocks(throttle, &limits, client("2001:db8:0:1::27"), "ada", 1));
	ck_assert(!throttle_blocks(throttle, &limits, client("2001:db8:0:2::27"), "ada", 1));
	/* The user's limit is reached elsewhere: who logged in from there lately still may. */
	throttle_client_of("203.0.113.1", true, &shared);
	throttle_client_of("2001:db8:5::1", true, &same);
	ck_assert_str_eq(shared.text, same.text);
	throttle_success(throttle, &shared, "ada", 1);
	throttle_failure(throttle, &limits, client("192.0.2.8"), "ada", 2);
	throttle_failure(throttle, &limits, client("192.0.2.9"), "ada", 2);
	ck_assert(throttle_blocks(throttle, &limits, client("192.0.2.10"), "ada", 3));
	ck_assert(!throttle_blocks(throttle, &limits, &same, "ada", 3));
	for (int i = 0; i < 4; i++) {
		ck_assert(!throttle_blocks(throttle, &limits, &shared, "ada", 4));
		throttle_failure(throttle, &limits, i % 2 ? &shared : &same, "ada", 4);
	}
	ck_assert(throttle_blocks(throttle, &limits, &shared, "ada", 5));
	ck_assert(!throttle_blocks(throttle, &limits, &shared, "bo", 5));
	throttle_free(&throttle);
}
END_TEST

START_TEST(throttle_by_the_clock)
{
	const struct auth_failures limits = { 2, 4, 100 };
	struct throttle *throttle = NULL;

	ck_assert_int_eq(throttle_new(&throttle), 0);
	throttle_success(throttle, client("home"), "ada", 0);
	throttle_failure(throttle, &limits, client("a"), "ada", 10);
	ck_assert(!throttle_blocks(throttle, &limits, client("a"), "ada", 11));
	throttle_failure(throttle, &limits, client("a"), "Ada", 12);
	ck_assert(throttle_blocks(throttle, &limits, client("a"), "ada", 13));
	ck_assert(!throttle_blocks(throttle, &limits, client("a"), "bo", 13));
	ck_assert(!throttle_blocks(throttle, &limits, client("b"), "ada", 13));
	ck_assert(throttle_blocks(throttle, &limits, client("a"), "ada", 109));
	ck_assert(!throttle_blocks(throttle, &limits, client("a"), "ada", 110));
	/* a success forgives the pair, not the user */
	throttle_failure(throttle, &limits, client("b"), "ada", 20);
	throttle_failure(throttle, &limits, client("b"), "ada", 21);
	throttle_success(throttle, client("b"), "ada", 22);
	ck_assert(throttle_blocks(throttle, &limits, client("c"), "ada", 23));
	/* where the user logged in lately the user's own limit does not lock out */
	ck_assert(!throttle_blocks(throttle, &limits, client("b"), "ada", 23));
	ck_assert(!throttle_blocks(throttle, &limits, client("home"), "ada", 23));
	ck_assert(!throttle_blocks(throttle, &limits, client("c"), "ada", 110));
	throttle_free(&throttle);
}
END_TEST

START_TEST(throttle_has_a_ceiling)
{
	const struct auth_failures limits = { 1, 1, 100 };
	struct throttle *throttle = NULL;
	char name[20];

	ck_assert_int_eq(throttle_new(&throttle), 0);
	throttle_success(throttle, client("home"), "ada", 0);
	for (int i = 0; i < 24990; i++) { /* two counters each */
		snprintf(name, sizeof(name), "%d", i);
		throttle_failure(throttle, &limits, client("a"), name, 0);
	}
	ck_assert(throttle_blocks(throttle, &limits, client("a"), "5", 99));
	for (int i = 0; i < 100; i++) { /* what is old makes room */
		snprintf(name, sizeof(name), "n%d", i);
		throttle_failure(throttle, &limits, client("a"), name, 100);
	}
	ck_assert(throttle_blocks(throttle, &limits, client("a"), "n5", 101));
	throttle_failure(throttle, &limits, client("x"), "ada", 100);
	throttle_failure(throttle, &limits, client("x"), "ada", 100);
	ck_assert(!throttle_blocks(throttle, &limits, client("home"), "ada", 101));
	throttle_free(&throttle);
}
END_TEST

/* The exchange of RFC 7677 section 3, judged by keys of ours. */
START_TEST(scram_keys_of_the_rfc)
{
	static const char message[] = "n=user,r=rOprNGfwEbeRWgbNEkqO,"
				      "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s="
				      "W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
				      "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
	static const char client[] = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
	static const char server[] = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
	uint8_t salt[16], proof[32], signature[32], hash[32];
	const int plain_base64 = sodium_base64_VARIANT_ORIGINAL;
	struct scram_keys keys;
	char text[64];

	ck_assert_int_eq(sodium_base642bin(salt, sizeof(salt), "W22ZaJ0SNY7soEsUEjb6gQ==", 24, NULL,
			     NULL, NULL, plain_base64),
	    0);
	ck_assert_int_eq(sodium_base642bin(proof, sizeof(proof), client, sizeof(client) - 1, NULL,
			     NULL, NULL, plain_base64),
	    0);
	ck_assert_int_eq(scram_derive("pencil", salt, 4096, &keys), 0);
	crypto_auth_hmacsha256(
	    signature, (const uint8_t *)message, sizeof(message) - 1, keys.stored);
	for (size_t i = 0; i < sizeof(proof); i++)
		proof[i] ^= signature[i];
	crypto_hash_sha256(hash, proof, sizeof(proof));
	ck_assert_mem_eq(hash, keys.stored, sizeof(hash));
	crypto_auth_hmacsha256(
	    signature, (const uint8_t *)message, sizeof(message) - 1, keys.server);
	sodium_bin2base64(text, sizeof(text), signature, sizeof(signature), plain_base64);
	ck_assert_str_eq(text, server);
}
END_TEST

/* "secret", by what Debian 12 writes and by what older systems did. */
static const struct {
	const char *hash;
	bool good;
} brought_along[] = {
	{ "$y$j9T$saltsaltsalt$AnbE4uovRUrp5W/7h65lVXbBxJijULPRqRjd39xI5w9", true },
	{ "$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN."
	  "Pq.H91p5hVO1",
	    true },
	{ "$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA", true },
	{ "$2b$05$saltsaltsaltsaltsalt..89SSvJK1b0z0SIE85.oRDw3.6qLg5c6", true },
	{ "$1$saltsalt$9xy1btjgzLYfb7hivXtC//", true },
	{ "*", false },
	{ "secret", false },
	{ "$7$", false },
	{ "$argon2id$v=19$m=65536,t=2,p=1$bm9i", false },
};

/* A2: hashes of crypt(3) are accepted. */
START_TEST(hashes_brought_along)
{
	const char *hash = brought_along[_i].hash;
	struct verifier verifier;

	ck_assert_int_ge(sodium_init(), 0);
	verifier_init(&verifier);
	ck_assert_int_eq(verifier_fault(hash) == NULL, brought_along[_i].good);
	ck_assert_int_eq(
	    verifier_check(&verifier, hash, pn_slice_of("secret")), brought_along[_i].good);
	ck_assert(!verifier_check(&verifier, hash, pn_slice_of("secrets")));
	ck_assert(!verifier_check(&verifier, hash, pn_slice_of("")));
	ck_assert_uint_eq(verifier.kind_count, brought_along[_i].good);
	verifier_end(&verifier);
}
END_TEST

static const struct {
	const char *line, *user;
	enum dovecot_word word;
} dovecot_lines[] = {
	{ "VERSION\t1\t2", "", DOVECOT_OTHER },
	{ "VERSION\t2\t0", "", DOVECOT_OLD },
	{ "MECH\tPLAIN\tplaintext", "", DOVECOT_OTHER },
	{ "DONE", "", DOVECOT_DONE },
	{ "OK\t1\tuser=ada\toriginal_user=x", "ada", DOVECOT_OK },
	{ "OK\t1", "", DOVECOT_OK },
	{ "OK\t2\tuser=ada", "", DOVECOT_OTHER },
	{ "OK", "", DOVECOT_OTHER },
	{ "OK\t1\tuser=ada\tnologin", "", DOVECOT_NO },
	{ "OK\t1\tproxy\tuser=ada\thost=x", "", DOVECOT_NO },
	{ "OK\t1\tuser=ada\tanonymous", "", DOVECOT_NO },
	{ "OK\t1\tuser=ada\tproxy_maybe\tnologin_delay=x", "ada", DOVECOT_OK },
	{ "OK\t11\tuser=ada", "", DOVECOT_OTHER },
	{ "FAIL\t1\tuser=ada", "", DOVECOT_NO },
	{ "FAIL\t1\tuser=ada\ttemp", "", DOVECOT_DOWN },
	{ "FAIL\t1\tuser=ada\ttemporary", "", DOVECOT_NO },
	{ "", "", DOVECOT_OTHER },
};

START_TEST(dovecot_says)
{
	struct dovecot_line line;

	dovecot_line_read(pn_slice_of(dovecot_lines[_i].line), "1", &line);
	ck_assert_int_eq(line.word, dovecot_lines[_i].word);
	ck_assert_uint_eq(line.user.len, strlen(dovecot_lines[_i].user));
	if (line.user.len > 0)
		ck_assert_mem_eq(line.user.data, dovecot_lines[_i].user, line.user.len);
}
END_TEST

/* Verifying nobody's password costs what verifying a real one does. */
START_TEST(nobody_costs_the_same)
{
	struct verifier verifier;

	ck_assert_int_ge(sodium_init(), 0);
	ck_assert_int_eq(
	    crypto_pwhash_str_needs_rehash(verifier_nobody, crypto_pwhash_OPSLIMIT_INTERACTIVE,
		crypto_pwhash_MEMLIMIT_INTERACTIVE),
	    0);
	verifier_init(&verifier);
	ck_assert(!verifier_check(&verifier, NULL, pn_slice_of("secret")));
	ck_assert_int_eq(verifier_enter(&verifier, 1, 1000), 0);
	/* no slot becomes free in time */
	ck_assert_int_eq(verifier_enter(&verifier, 1, 5), -ETIMEDOUT);
	verifier_leave(&verifier);
	ck_assert_int_eq(verifier_enter(&verifier, 1, 5), 0);
	verifier_leave(&verifier);
	verifier_end(&verifier);
}
END_TEST

/* app_uses.c's statements come here: they are counted, and run without a hook's call. */
static unsigned statements;
int __wrap_pn_db_run(struct pn_call *, struct pn_error *, const char *, struct pn_values);

int
__wrap_pn_db_run(
    struct pn_call *call, struct pn_error *err, const char *sql, struct pn_values values)
{
	statements++;
	return db_run(world.db, err, sql, values);
}

static int
read_number(void *arg, const struct pn_row *row)
{
	*(int64_t *)arg = pn_row_int(row, 0);
	return 0;
}

static int64_t
used_at_all(void)
{
	int64_t count = -1;

	ck_assert_int_eq(
	    db_query(world.db, NULL, "SELECT COUNT(*) FROM auth_app_passwords WHERE used > 0",
		PN_NO_VALUES, read_number, &count),
	    0);
	return count;
}

/* All of a minute's uses are one write to the disk, and not one each. */
START_TEST(uses_of_app_passwords)
{
	struct app_uses *uses;

	world_run(&world, "  - auth\n", "");
	ck_assert_int_eq(directory_user_add(world.db, "ada@clinic.example", NULL), 0);
	for (int64_t i = 1; i <= 300; i++)
		ck_assert_int_eq(
		    db_run(world.db, NULL,
			"INSERT INTO auth_app_passwords (number, address, name, hash, made, used) "
			"VALUES (?1, 'ada@clinic.example', ?2, 'x', 1, 0)",
			PN_VALUES(PN_INT(i), PN_INT(i))),
		    0);
	ck_assert_int_eq(app_uses_new(&uses), 0);
	ck_assert_int_eq(app_uses_write(NULL, uses, NULL), 0);
	ck_assert_uint_eq(statements, 0);
	for (int64_t i = 1; i <= 5; i++)
		app_uses_note(uses, i);
	app_uses_note(uses, 1000); /* is gone meanwhile */
	ck_assert_int_eq(app_uses_write(NULL, uses, NULL), 0);
	ck_assert_uint_eq(statements, 1);
	ck_assert_int_eq(used_at_all(), 5);
	for (int64_t i = 1; i <= 300; i++)
		app_uses_note(uses, i);
	ck_assert_int_eq(app_uses_write(NULL, uses, NULL), 0);
	ck_assert_uint_eq(statements, 3);
	ck_assert_int_eq(used_at_all(), 300);
	app_uses_free(&uses);
}
END_TEST

static int64_t
worked_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

static int64_t
cost_us(struct verifier *verifier, const char *hash)
{
	int64_t before = worked_us();

	verifier_check(verifier, hash, pn_slice_of("wrong"));
	return worked_us() - before;
}

/* Hashes of crypt(3) that cost many times what Argon2id does: nobody is to be told by them. */
START_TEST(crypt_costs_everybody)
{
	static const char dear[] = "$2b$12$saltsaltsaltsaltsalt..89SSvJK1b0z0SIE85.oRDw3.6qLg5c6";
	static const char cheap[] = "$1$saltsalt$9xy1btjgzLYfb7hivXtC//";
	static const char other[] = "$6$rounds=6000$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc"
				    "1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1";
	struct verifier verifier;
	int64_t crypted, nobody;

	ck_assert_int_ge(sodium_init(), 0);
	verifier_init(&verifier);
	nobody = cost_us(&verifier, NULL);
	crypted = cost_us(&verifier, dear);
	ck_assert_int_gt(crypted, nobody); /* else there were nothing to see */
	verifier_learn(&verifier, dear);
	verifier_learn(&verifier, cheap);
	verifier_learn(&verifier, other);
	ck_assert_uint_eq(verifier.kind_count, 3);
	nobody = cost_us(&verifier, NULL);
	crypted = cost_us(&verifier, dear);
	ck_assert_int_lt(crypted, 2 * nobody);
	ck_assert_int_lt(nobody, 2 * crypted);
	crypted = cost_us(&verifier, cheap);
	ck_assert_int_lt(crypted, 2 * nobody);
	ck_assert_int_lt(nobody, 2 * crypted);
	verifier_end(&verifier);
}
END_TEST

/* A start reads the hashes of all users: those of one kind cost crypt(3) once. */
START_TEST(kinds_are_learnt_once)
{
	char hash[] = "$2b$10$saltsaltsaltsaltsalt..89SSvJK1b0z0SIE85.oRDw3.6qLg5c6";
	struct verifier verifier;
	int64_t before, once;

	verifier_init(&verifier);
	before = worked_us();
	verifier_learn(&verifier, hash);
	once = worked_us() - before;
	before = worked_us();
	for (char salt = 'a'; salt <= 'p'; salt++) {
		hash[7] = salt;
		verifier_learn(&verifier, hash);
	}
	ck_assert_int_lt(worked_us() - before, once);
	ck_assert_uint_eq(verifier.kind_count, 1);
	verifier_end(&verifier);
}
END_TEST

/* What takes questions and is silent is asked by one at a time, and not at once again. */
START_TEST(silence)
{
	struct breaker breaker;

	breaker_init(&breaker);
	ck_assert(breaker_enter(&breaker, 0));
	ck_assert(breaker_enter(&breaker, 10)); /* nobody knows yet */
	breaker_leave(&breaker, 0, true, 0, 20);
	breaker_leave(&breaker, -ETIMEDOUT, true, 10, 510);
	ck_assert(!breaker_enter(&breaker, 511));
	ck_assert(!breaker_enter(&breaker, 1009));
	ck_assert(breaker_enter(&breaker, 1010)); /* as long as it was waited for */
	ck_assert(!breaker_enter(&breaker, 1011));
	breaker_leave(&breaker, -ETIMEDOUT, true, 1010, 1510);
	ck_assert(!breaker_enter(&breaker, 2009));
	ck_assert(breaker_enter(&breaker, 2010));
	breaker_leave(&breaker, 1, true, 2010, 2500); /* it answers */
	ck_assert(breaker_enter(&breaker, 2500));
	breaker_leave(&breaker, -ECONNREFUSED, true, 2500, 2501); /* costs nothing */
	ck_assert(breaker_enter(&breaker, 2501));
	breaker_leave(&breaker, -EPIPE, true, 2501, 2501 + BREAKER_SLOW_MS);
	ck_assert(!breaker_enter(&breaker, 2502 + BREAKER_SLOW_MS));
	breaker_end(&breaker);

	/* others had used up the time: nothing was seen, and one more attempt finds out */
	breaker_init(&breaker);
	ck_assert(breaker_enter(&breaker, 0));
	breaker_leave(&breaker, -ETIMEDOUT, false, 0, 5);
	ck_assert(breaker_enter(&breaker, 5));
	breaker_leave(&breaker, -ECANCELED, false, 5, 5 + BREAKER_SLOW_MS);
	ck_assert(breaker_enter(&breaker, 2000));
	breaker_leave(&breaker, -ETIMEDOUT, true, 2000, 2500);
	ck_assert(breaker_enter(&breaker, 3000));
	breaker_leave(&breaker, -ETIMEDOUT, false, 3000, 3005);
	ck_assert(breaker_enter(&breaker, 3010)); /* it is as silent as before */
	ck_assert(!breaker_enter(&breaker, 3011));
	breaker_end(&breaker);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("auth");
	TCase *whole = tcase_create("module"), *parts = tcase_create("parts");

	tcase_add_checked_fixture(whole, setup, teardown);
	tcase_set_timeout(whole, 60);
	tcase_add_loop_test(whole, attempts_are_judged, 0, sizeof(attempts) / sizeof(attempts[0]));
	tcase_add_test(whole, plain_without_initial_response);
	tcase_add_test(whole, login_asks_twice);
	tcase_add_test(whole, login_with_the_name_at_once);
	tcase_add_loop_test(
	    whole, malformed_responses, 0, sizeof(malformed) / sizeof(malformed[0]));
	tcase_add_test(whole, mechanisms_are_offered_as_configured);
	tcase_add_test(whole, a_right_password_is_remembered);
	tcase_add_test(whole, a_change_is_noticed);
	tcase_add_test(whole, passwords_look_alike_in_any_composition);
	tcase_add_test(whole, guessing_is_limited);
	tcase_add_test(whole, guessing_is_limited_however_it_is_spelt);
	tcase_add_test(whole, many_at_once);
	tcase_add_test(whole, a_broken_database_is_no_wrong_password);
	tcase_add_test(whole, uses_of_app_passwords);
	suite_add_tcase(suite, whole);
	tcase_add_test(parts, crypt_costs_everybody);
	tcase_add_test(parts, kinds_are_learnt_once);
	tcase_add_test(parts, silence);
	tcase_set_timeout(parts, 60);
	tcase_add_test(parts, cache_by_the_clock);
	tcase_add_test(parts, cache_has_a_ceiling);
	tcase_add_test(parts, throttle_by_network);
	tcase_add_test(parts, throttle_by_the_clock);
	tcase_add_test(parts, throttle_has_a_ceiling);
	tcase_add_test(parts, scram_keys_of_the_rfc);
	tcase_add_loop_test(
	    parts, hashes_brought_along, 0, sizeof(brought_along) / sizeof(brought_along[0]));
	tcase_add_loop_test(
	    parts, dovecot_says, 0, sizeof(dovecot_lines) / sizeof(dovecot_lines[0]));
	tcase_add_test(parts, nobody_costs_the_same);
	suite_add_tcase(suite, parts);
	return unit_run(suite);
}
