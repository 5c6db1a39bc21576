/* SPDX-License-Identifier: Apache-2.0 */
/* user_relays.c - servers of users' own: what is sealed, whose way is whose, what the spool keeps.
 */
#include "run.h"

#include <core/config/roster.h>
#include <core/config/sealed.h>
#include <core/queue/record.h>
#include <core/queue/route_user.h>
#include <errno.h>

#define ONE     "one 00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef\n"
#define TWO     "two ffeeddccbbaa99887766554433221100fedcba9876543210fedcba9876543210\n"
#define NOT_ONE "one ffeeddccbbaa99887766554433221100fedcba9876543210fedcba9876543210\n"
#define LOGIN   pn_slice("name\0password", 13)

static struct keyring *
ring(const char *text)
{
	struct keyring *keys;
	struct pn_error err;

	ck_assert_msg(keyring_parse(pn_slice_of(text), &keys, &err) == 0, "%s", err.text);
	return keys;
}

static int
open_with(const char *keys, const char *about, struct pn_slice sealed)
{
	struct keyring *own = ring(keys);
	struct buf login = BUF_INIT(SEALED_MOST);
	int r = sealed_open(own, pn_slice_of(about), sealed, &login);

	if (r == 0)
		ck_assert(pn_slice_equals(buf_slice(&login), LOGIN));
	else
		ck_assert_uint_eq(login.len, 0);
	buf_wipe(&login);
	keyring_release(&own);
	return r;
}

START_TEST(sealed_and_opened)
{
	struct keyring *keys = ring(ONE TWO);
	struct buf sealed = BUF_INIT(SEALED_MOST), again = BUF_INIT(SEALED_MOST);
	static char long_one[SEALED_SECRET_MOST + 1];
	char name[KEYRING_NAME + 1];

	ck_assert_int_eq(sealed_make(keys, pn_slice_of("ada"), LOGIN, &sealed), 0);
	ck_assert_int_eq(sealed_make(keys, pn_slice_of("ada"), LOGIN, &again), 0);
	ck_assert(!pn_slice_equals(buf_slice(&sealed), buf_slice(&again)));
	ck_assert_ptr_null(memmem(sealed.data, sealed.len, "password", 8));
	ck_assert_int_eq(sealed_key_name(buf_slice(&sealed), name), 0);
	ck_assert_str_eq(name, "one");
	ck_assert_int_eq(open_with(ONE, "ada", buf_slice(&sealed)), 0);
	ck_assert_int_eq(open_with(TWO ONE, "ada", buf_slice(&sealed)), 0);
	ck_assert_int_eq(open_with(ONE, "bo", buf_slice(&sealed)), -EBADMSG);
	ck_assert_int_eq(open_with(TWO, "ada", buf_slice(&sealed)), -ENOKEY);
	ck_assert_int_eq(open_with(NOT_ONE, "ada", buf_slice(&sealed)), -EBADMSG);
	for (size_t i = 0; i < sealed.len; i++) {
		sealed.data[i] ^= 1;
		ck_assert_int_lt(open_with(ONE, "ada", buf_slice(&sealed)), 0);
		sealed.data[i] ^= 1;
		ck_assert_int_lt(open_with(ONE, "ada", pn_slice(sealed.data, i)), 0);
	}
	buf_reset(&again);
	ck_assert_int_eq(
	    sealed_make(keys, pn_slice_of("ada"), pn_slice(long_one, sizeof(long_one)), &again),
	    -E2BIG);
	ck_assert_int_eq(sealed_make(NULL, pn_slice_of("ada"), LOGIN, &again), -ENOKEY);
	buf_free(&sealed);
	buf_free(&again);
	keyring_release(&keys);
}
END_TEST

/* ---- ways ------------------------------------------------------------------------------------ */

struct scene {
	struct roster *roster;
	struct routes *routes;
	struct capability *capability;
	struct config_core core;
};

static void
add(struct scene *scene, const char *user, const char *address, uint16_t port)
{
	struct roster_relay relay = { .user = user,
		.address = address,
		.host = "smtp.partner.example",
		.port = port,
		.verify = true,
		.sealed = pn_slice_of("sealed"),
		.changed_us = 7 };

	roster_add_relay(scene->roster, &relay);
}

static void
begin(struct scene *scene)
{
	static const char *const ports[] = { "587", "465" };

	*scene = (struct scene){ .roster = roster_new() };
	scene->core.relay.user_relays.ports = (struct pn_strings){ 2, ports };
	scene->capability = capability_new();
	add(scene, "Ada@here.example", "ada@partner.example", 587);
	add(scene, "bo@here.example", "ada@partner.example", 587);
	add(scene, "bo@here.example", "bo@partner.example", 25);
	roster_settle(scene->roster, &(struct pn_strings){ 0 }, &(struct pn_strings){ 0 });
}

static void
end(struct scene *scene)
{
	routes_release(&scene->routes);
	capability_release(&scene->capability);
	roster_release(&scene->roster);
}

static const struct route *
find(const struct scene *scene, const char *user, const char *address, const char **ret_refusal)
{
	struct mail_facts facts = { .user = user };
	struct config_subject subject = {
		.facts = &facts, .recipient = "to@x.example", .user_relay = address
	};

	return routes_find(scene->routes, &subject, ret_refusal);
}

START_TEST(whose_way)
{
	struct keyring *keys = ring(ONE);
	const struct route *ada, *bo;
	const char *refusal;
	struct scene scene;
	struct user_rules *rules;
	struct user_ways *ways;
	struct pn_list none = { 0 };
	struct pn_error err;

	begin(&scene);
	ck_assert_ptr_null(roster_relay(scene.roster, "ada@here.example", "x@partner.example"));
	ck_assert_ptr_nonnull(
	    roster_relay(scene.roster, "ada@HERE.example", "ADA@partner.example"));
	ck_assert_int_eq(
	    routes_new(&scene.core, scene.roster, scene.capability, &scene.routes, &err), 0);
	/* Nothing of a server that is gone, nor of another user's; for now where the key lacks. */
	ck_assert_ptr_null(find(&scene, "ada@here.example", "bo@partner.example", &refusal));
	ck_assert_int_eq(*refusal, '5');
	ck_assert_ptr_null(find(&scene, NULL, "ada@partner.example", &refusal));
	ck_assert_int_eq(*refusal, '5');
	ck_assert_ptr_null(find(&scene, "ada@here.example", "ada@partner.example", &refusal));
	ck_assert_int_eq(*refusal, '4');
	ck_assert_int_eq(user_rules_new_with(&scene.core.relay.user_relays, keys, &rules, &err), 0);
	ways = user_ways_new(rules, &none);
	ada = user_ways_find(ways, roster_relay_at(scene.roster, 0), &refusal);
	bo = user_ways_find(ways, roster_relay_at(scene.roster, 1), &refusal);
	ck_assert_ptr_eq(ada, user_ways_find(ways, roster_relay_at(scene.roster, 0), &refusal));
	ck_assert_ptr_null(user_ways_find(ways, roster_relay_at(scene.roster, 2), &refusal));
	ck_assert_int_eq(*refusal, '5');
	for (int need = 0; need < ROUTE_NEEDS; need++) {
		const struct courier_target *target = &ada->hosts->ways[need].target;

		/* Users share neither connections nor limits. */
		ck_assert_str_ne(ada->keys[need], bo->keys[need]);
		ck_assert_str_ne(ada->hosts->ways[need].key, bo->hosts->ways[need].key);
		ck_assert_str_ne(ada->hosts->name, bo->hosts->name);
		ck_assert_int_eq(target->level, TLS_LEVEL_VERIFY);
		ck_assert_ptr_nonnull(target->tls);
		ck_assert_int_eq(target->requiretls, need == ROUTE_REQUIRETLS);
	}
	user_ways_free(&ways);
	user_rules_free(&rules);
	keyring_release(&keys);
	end(&scene);
}
END_TEST

START_TEST(in_the_spool)
{
	struct buf head = BUF_INIT(RECORD_HEAD_MOST);
	struct field_writer writer = { &head, 0 };
	struct item *item = item_new(), *read;
	struct pn_slice rest;
	struct field field;
	bool critical = false;

	item_id_new(item->id);
	item->facts.user = "ada@here.example";
	item->envelope.sender = item->envelope.original_sender = "ada@partner.example";
	item->envelope.user_relay = "ada@partner.example";
	mail_envelope_add(&item->envelope, &item->arena, "to@x.example");
	mail_envelope_add(&item->envelope, &item->arena, "archive@here.example")->added = true;
	item_prepare(item);
	record_put_item(&writer, item);
	ck_assert_int_eq(writer.r, 0);
	rest = buf_slice(&head);
	while (field_next(&rest, &field) > 0)
		if (field.type == RECORD_USER_RELAY)
			critical = field.flags & FIELD_CRITICAL;
	ck_assert(critical);
	ck_assert_int_eq(record_get_item(buf_slice(&head), 0, &read), 0);
	ck_assert_str_eq(read->envelope.user_relay, "ada@partner.example");
	ck_assert(!read->envelope.recipients[0].added);
	ck_assert(read->envelope.recipients[1].added);
	item_free(&read);
	item_free(&item);
	buf_free(&head);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("user_relays");
	TCase *tc = tcase_create("user_relays");

	tcase_add_test(tc, sealed_and_opened);
	tcase_add_test(tc, whose_way);
	tcase_add_test(tc, in_the_spool);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
