/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gpg_keys.c - what OpenPGP keys are good for, in a helper process.
 *
 * The keys are imported into the throw-away home, which drops whatever has no valid signature of
 * its own, then listed and exported again. Called by helper.c. Must never let a key pass as usable
 * that gpg would not encrypt to.
 */
#include <core/base/text.h>
#include <core/crypt/gpg.h>
#include <core/crypt/packets.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <jansson.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define WEAK_BITS  2048         /* of RSA, DSA and ElGamal */
#define ROOM_SPARE (64u * 1024) /* what gpg writes beside the keys */

struct found {
	int version;
	bool secret;
	char fingerprint[PACKET_FINGERPRINT];
	gpgme_key_t key;       /* held; NULL: gpg did not take it */
	gpgme_subkey_t subkey; /* encrypts; NULL: none can */
	gpgme_user_id_t uid;   /* with the address, or the first */
	char reason[300];
	struct pn_slice minimal;
};

struct inspection {
	struct gpg *gpg;
	struct arena arena;
	struct found found[GPG_KEYS_MOST];
	size_t count;
	const char *address; /* NULL: any will do */
	bool pinned;
};

static void PN_PRINTF(2, 3) say(struct found *found, const char *format, ...)
{
	va_list args;

	if (found->reason[0])
		return; /* the first one is the one that counts */
	va_start(args, format);
	vsnprintf(found->reason, sizeof(found->reason), format, args);
	va_end(args);
}

/* ---- the keys in the bytes ------------------------------------------------------------------- */

static int
find_keys(struct inspection *in, struct pn_slice bytes, struct pn_error *err)
{
	struct packet packet;
	int r;

	while ((r = packet_next(&bytes, &packet)) > 0) {
		struct found *found = &in->found[in->count];

		if (packet.tag != PACKET_PUBLIC_KEY && packet.tag != PACKET_SECRET_KEY)
			continue;
		if (in->count == GPG_KEYS_MOST)
			return pn_error_set(
			    err, -E2BIG, "more than %d keys at once", GPG_KEYS_MOST);
		found->version = packet.body.len > 0 ? (unsigned char)packet.body.data[0] : 0;
		found->secret = packet.tag == PACKET_SECRET_KEY;
		if (!found->secret)
			packet_fingerprint(packet.body, found->fingerprint);
		in->count++;
	}
	return r < 0 ? pn_error_set(err, r, "this is not OpenPGP, or it is cut short") : 0;
}

/* ---- what gpg says of them ------------------------------------------------------------------- */

static int
import(struct inspection *in, struct pn_slice bytes, struct pn_error *err)
{
	gpgme_data_t data = NULL;
	gpgme_error_t error = gpgme_data_new_from_mem(&data, bytes.data, bytes.len, 0);

	if (!error)
		error = gpgme_op_import(in->gpg->ctx, data);
	gpgme_data_release(data);
	/* No key that it could take is no fault: each is told by itself. */
	if (error && gpgme_err_code(error) != GPG_ERR_NO_DATA &&
	    gpgme_err_code(error) != GPG_ERR_BAD_DATA)
		return gpg_fault(error, err, "reading the keys");
	return 0;
}

static void
assign(struct inspection *in, gpgme_key_t key)
{
	const char *fingerprint = key->subkeys ? key->subkeys->fpr : NULL;

	for (size_t i = 0; fingerprint && i < in->count; i++) {
		struct found *found = &in->found[i];

		if (!found->key && strcmp(found->fingerprint, fingerprint) == 0) {
			gpgme_key_ref(key);
			found->key = key;
		}
	}
}

static int
list(struct inspection *in, struct pn_error *err)
{
	gpgme_key_t key;
	gpgme_error_t error = gpgme_op_keylist_start(in->gpg->ctx, NULL, 0);

	while (!error && !(error = gpgme_op_keylist_next(in->gpg->ctx, &key))) {
		assign(in, key);
		gpgme_key_unref(key);
	}
	gpgme_op_keylist_end(in->gpg->ctx);
	return gpgme_err_code(error) == GPG_ERR_EOF ? 0 : gpg_fault(error, err, "listing the keys");
}

/* ---- what it could not take ------------------------------------------------------------------ */

static bool
took_all(const struct inspection *in)
{
	for (size_t i = 0; i < in->count; i++)
		if (in->found[i].fingerprint[0] && !in->found[i].key)
			return false;
	return true;
}

/*
 * Of a key that it has no room for, gpg says what it says of one that is damaged: so it is tried
 * whether there is room.
 */
static int
find_room(const struct inspection *in, size_t size, struct pn_error *err)
{
	char zeros[4096] = { 0 }, *path = g_strconcat(in->gpg->home, "/room", NULL);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r = fd < 0 ? -errno : 0;

	for (size_t at = 0; r == 0 && at < 2 * size + ROOM_SPARE; at += sizeof(zeros)) {
		ssize_t n = write(fd, zeros, sizeof(zeros));

		r = n == (ssize_t)sizeof(zeros) ? 0 : n < 0 ? -errno : -ENOSPC;
	}
	if (fd >= 0)
		close(fd);
	unlink(path);
	if (r < 0)
		pn_error_set(err, r, "%s: %s", in->gpg->home, strerror(-r));
	g_free(path);
	return r;
}

/* ---- the judgement --------------------------------------------------------------------------- */

static bool
subkey_encrypts(gpgme_subkey_t subkey)
{
	return subkey->can_encrypt && !subkey->revoked && !subkey->expired && !subkey->disabled &&
	       !subkey->invalid;
}

/* As gpg chooses: the newest subkey, else the primary key. */
static gpgme_subkey_t
choose_subkey(gpgme_key_t key)
{
	gpgme_subkey_t best = NULL;

	for (gpgme_subkey_t subkey = key->subkeys ? key->subkeys->next : NULL; subkey;
	     subkey = subkey->next)
		if (subkey_encrypts(subkey) && (!best || subkey->timestamp > best->timestamp))
			best = subkey;
	return best || !key->subkeys || !subkey_encrypts(key->subkeys) ? best : key->subkeys;
}

static gpgme_user_id_t
choose_uid(const struct inspection *in, gpgme_key_t key)
{
	for (gpgme_user_id_t uid = key->uids; uid; uid = uid->next)
		if (!uid->revoked && !uid->invalid && in->address && uid->address &&
		    g_ascii_strcasecmp(uid->address, in->address) == 0)
			return uid;
	for (gpgme_user_id_t uid = key->uids; uid; uid = uid->next)
		if (!uid->revoked && !uid->invalid && !in->address && uid->address && *uid->address)
			return uid;
	for (gpgme_user_id_t uid = key->uids; uid; uid = uid->next)
		if (!uid->revoked && !uid->invalid && (!in->address || in->pinned))
			return uid;
	return NULL;
}

static const char *
day(long seconds, char ret[32])
{
	time_t when = (time_t)seconds;
	struct tm tm;

	if (!gmtime_r(&when, &tm) || strftime(ret, 32, "%Y-%m-%d", &tm) == 0)
		strcpy(ret, "an unknown day");
	return ret;
}

static bool
is_weak(gpgme_subkey_t subkey)
{
	gpgme_pubkey_algo_t algo = subkey->pubkey_algo;

	return (algo == GPGME_PK_RSA || algo == GPGME_PK_RSA_E || algo == GPGME_PK_RSA_S ||
		   algo == GPGME_PK_DSA || algo == GPGME_PK_ELG || algo == GPGME_PK_ELG_E) &&
	       subkey->length < (algo == GPGME_PK_DSA ? 1024 : WEAK_BITS);
}

/* Why no subkey encrypts. */
static void
say_subkeys(struct found *found)
{
	bool revoked = false, expired = false;
	long when = 0;
	char text[32];

	for (gpgme_subkey_t subkey = found->key->subkeys; subkey; subkey = subkey->next) {
		if (!subkey->can_encrypt)
			continue;
		revoked = revoked || subkey->revoked;
		expired = expired || subkey->expired;
		if (subkey->expired && subkey->expires > when)
			when = subkey->expires;
	}
	if (expired)
		say(found, "has no usable subkey for encryption: it expired on %s",
		    day(when, text));
	else if (revoked)
		say(found, "has no usable subkey for encryption: it was revoked");
	else
		say(found, "has no subkey for encryption");
}

static void
judge_form(struct found *found)
{
	if (found->version == 5 || found->version == 6)
		say(found,
		    "is of version %d (RFC 9580 and drafts), which the OpenPGP library here "
		    "does not know",
		    found->version);
	else if (found->version != 4)
		say(found, "is of version %d, which is too old or unknown", found->version);
	if (found->secret)
		say(found, "is a secret key; the public one is wanted");
	if (!found->key)
		say(found, "has no user id with a valid signature of its own, or is damaged");
}

static void
judge(const struct inspection *in, struct found *found)
{
	gpgme_key_t key = found->key;
	char text[32];

	judge_form(found);
	if (!key)
		return;
	if (key->revoked)
		say(found, "was revoked");
	if (key->expired)
		say(found, "expired on %s", day(key->subkeys ? key->subkeys->expires : 0, text));
	if (key->disabled || key->invalid)
		say(found, "is not valid");
	found->subkey = choose_subkey(key);
	if ((key->subkeys && is_weak(key->subkeys)) || (found->subkey && is_weak(found->subkey)))
		say(found, "is too weak: RSA of less than %d bits, or the like", WEAK_BITS);
	if (!found->subkey)
		say_subkeys(found);
	found->uid = choose_uid(in, key);
	if (!found->uid && in->address)
		say(found, "has no valid user id with the address %s", in->address);
	else if (!found->uid)
		say(found, "has no valid user id");
}

/* ---- the minimal key ------------------------------------------------------------------------- */

/* Parts of a key in the order they stand in: what a part is decides about its signatures, too. */
static bool
is_wanted(const struct found *found, const struct packet *packet)
{
	char fingerprint[PACKET_FINGERPRINT];

	switch (packet->tag) {
	case PACKET_PUBLIC_KEY:
		return true;
	case PACKET_USER_ID:
		return strlen(found->uid->uid) == packet->body.len &&
		       memcmp(found->uid->uid, packet->body.data, packet->body.len) == 0;
	case PACKET_PUBLIC_SUBKEY:
		return packet_fingerprint(packet->body, fingerprint) &&
		       strcmp(fingerprint, found->subkey->fpr) == 0;
	default:
		return false;
	}
}

static void
reduce(struct inspection *in, struct found *found, struct pn_slice key)
{
	char *copy = arena_alloc(&in->arena, key.len);
	struct packet packet;
	bool keep = false, named = false;
	size_t len = 0;

	while (packet_next(&key, &packet) > 0) {
		if (packet.tag != PACKET_SIGNATURE)
			keep = is_wanted(found, &packet);
		if (!keep)
			continue;
		named = named || packet.tag == PACKET_USER_ID;
		memcpy(copy + len, packet.whole.data, packet.whole.len);
		len += packet.whole.len;
	}
	if (!named)
		say(found, "has a user id that cannot be read");
	else if (len > GPG_MINIMAL)
		say(found, "is too large: %zu bytes without all that is not needed, %u at most",
		    len, GPG_MINIMAL);
	else
		found->minimal = pn_slice(copy, len);
}

static void
reduce_all(struct inspection *in, struct pn_slice all)
{
	struct packet packet;
	struct pn_slice key = pn_slice(all.data, 0), rest = all;

	for (;;) {
		struct pn_slice begin = rest;
		int r = packet_next(&rest, &packet);
		char fingerprint[PACKET_FINGERPRINT];
		struct pn_slice head = key;
		struct packet first;

		if (r > 0 && (packet.tag != PACKET_PUBLIC_KEY || key.len == 0)) {
			key.len = (size_t)(rest.data - key.data);
			continue;
		}
		if (packet_next(&head, &first) > 0 && packet_fingerprint(first.body, fingerprint))
			for (size_t i = 0; i < in->count; i++)
				if (!in->found[i].reason[0] &&
				    strcmp(in->found[i].fingerprint, fingerprint) == 0)
					reduce(in, &in->found[i], key);
		if (r <= 0)
			return;
		key = pn_slice(begin.data, packet.whole.len);
	}
}

static int export(struct inspection *in, struct pn_error *err)
{
	gpgme_data_t data = NULL;
	gpgme_error_t error = gpgme_data_new(&data);
	size_t len = 0;
	char *bytes;

	gpgme_set_armor(in->gpg->ctx, 0);
	if (!error)
		error = gpgme_op_export(in->gpg->ctx, NULL, GPGME_EXPORT_MODE_MINIMAL, data);
	if (error) {
		gpgme_data_release(data);
		return gpg_fault(error, err, "reducing the keys");
	}
	bytes = gpgme_data_release_and_get_mem(data, &len);
	reduce_all(in, pn_slice(bytes, len));
	gpgme_free(bytes);
	return 0;
}

/* ---- the answer ------------------------------------------------------------------------------ */

static json_t *
clean_text(const char *text)
{
	char *valid = g_utf8_make_valid(text ? text : "", -1);
	json_t *item;

	for (char *at = valid; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			*at = '?';
	item = json_string(valid);
	g_free(valid);
	return item;
}

static json_t *
algorithm(const struct found *found)
{
	char *primary = gpgme_pubkey_algo_string(found->key->subkeys);
	char *subkey = found->subkey && found->subkey != found->key->subkeys
			   ? gpgme_pubkey_algo_string(found->subkey)
			   : NULL;
	char *both = g_strconcat(primary ? primary : "?", subkey ? "/" : NULL, subkey, NULL);
	json_t *text = clean_text(both);

	g_free(both);
	gpgme_free(primary);
	gpgme_free(subkey);
	return text;
}

static void
tell_uids(json_t *item, gpgme_key_t key)
{
	json_t *names = json_array(), *addresses = json_array();

	for (gpgme_user_id_t uid = key->uids; uid; uid = uid->next) {
		if (uid->revoked || uid->invalid)
			continue;
		json_array_append_new(names, clean_text(uid->uid));
		if (uid->address && *uid->address)
			json_array_append_new(addresses, clean_text(uid->address));
	}
	json_object_set_new(item, "user_ids", names);
	json_object_set_new(item, "addresses", addresses);
}

/* When either of the two ends. */
static json_int_t
expires(const struct found *found)
{
	long primary = found->key->subkeys ? found->key->subkeys->expires : 0;
	long subkey = found->subkey ? found->subkey->expires : 0;

	return primary == 0 || (subkey > 0 && subkey < primary) ? subkey : primary;
}

static json_t *
tell(const struct found *found)
{
	json_t *item = json_pack("{s:i, s:b, s:s}", "version", found->version, "secret",
	    found->secret, "fingerprint", found->fingerprint);

	if (found->reason[0])
		json_object_set_new(item, "reason", clean_text(found->reason));
	if (found->minimal.len > 0) {
		char *text = g_base64_encode(
		    (const guchar *)found->minimal.data, found->minimal.len);

		json_object_set_new(item, "minimal", json_string(text));
		g_free(text);
	}
	if (!found->key || !found->key->subkeys)
		return item;
	json_object_set_new(item, "algorithm", algorithm(found));
	json_object_set_new(item, "created", json_integer(found->key->subkeys->timestamp));
	json_object_set_new(item, "expires", json_integer(expires(found)));
	json_object_set_new(item, "revoked", json_boolean(found->key->revoked));
	json_object_set_new(item, "expired", json_boolean(found->key->expired));
	json_object_set_new(item, "can_encrypt", json_boolean(found->subkey != NULL));
	tell_uids(item, found->key);
	return item;
}

static int
answer(const struct inspection *in, int out, struct pn_error *err)
{
	json_t *list_of = json_array();
	int r;

	for (size_t i = 0; i < in->count; i++)
		json_array_append_new(list_of, tell(&in->found[i]));
	r = json_dumpfd(list_of, out, JSON_COMPACT);
	json_decref(list_of);
	return r < 0 ? pn_error_set(err, -EIO, "the answer cannot be written") : 0;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static bool
any_for_gpg(const struct inspection *in)
{
	for (size_t i = 0; i < in->count; i++)
		if (in->found[i].fingerprint[0])
			return true;
	return false;
}

static int
inspect(struct inspection *in, struct pn_slice keys, int out, struct pn_error *err)
{
	struct pn_slice bytes;
	bool good = false;
	int r = packets_unarmour(keys, &in->arena, &bytes, err);

	if (r == 0)
		r = find_keys(in, bytes, err);
	if (r == 0 && any_for_gpg(in)) {
		r = gpg_context(in->gpg, err);
		if (r == 0)
			r = import(in, bytes, err);
		if (r == 0)
			r = list(in, err);
		if (r == 0 && !took_all(in))
			r = find_room(in, bytes.len, err);
	}
	for (size_t i = 0; i < in->count && r == 0; i++) {
		judge(in, &in->found[i]);
		good = good || !in->found[i].reason[0];
	}
	if (r == 0 && good)
		r = export(in, err);
	for (size_t i = 0; i < in->count; i++)
		if (in->found[i].minimal.len == 0)
			say(&in->found[i], "cannot be exported");
	return r < 0 ? r : answer(in, out, err);
}

int
gpg_inspect(struct gpg *gpg, struct pn_slice address, bool pinned, struct pn_slice keys, int out,
    struct pn_error *err)
{
	struct inspection *in = g_new0(struct inspection, 1);
	int r;

	in->gpg = gpg;
	in->pinned = pinned;
	if (address.len > 0)
		in->address = arena_slice(&in->arena, address);
	r = keys.len > GPG_INPUT_MOST
		? pn_error_set(err, -E2BIG, "more than %u bytes of keys", GPG_INPUT_MOST)
		: inspect(in, keys, out, err);
	for (size_t i = 0; i < in->count; i++)
		if (in->found[i].key)
			gpgme_key_unref(in->found[i].key);
	arena_free(&in->arena);
	g_free(in);
	return r;
}
