/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certificate_command.c - posternctl user certificate add, list, remove.
 *
 * Called by posternctl. A certificate is given as a file, in PEM or DER, or by its fingerprint: it
 * is public, and nothing else of it is kept. Whether it is good is decided when it is shown.
 */
#include "certificate.h"
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define FILE_MOST 65536u
#define TIME_SIZE 32

/* ---- fingerprints ---------------------------------------------------------------------------- */

/* One SEQUENCE that is all of it (X.690 section 8.1.3), as a certificate is. */
static bool
is_der(const uint8_t *bytes, size_t len)
{
	size_t octets, length = 0;

	if (len < 4 || bytes[0] != 0x30 || bytes[1] < 0x81 || bytes[1] > 0x83)
		return false;
	octets = bytes[1] & 0x7fu;
	for (size_t i = 0; i < octets; i++)
		length = length << 8 | bytes[2 + i];
	return len - 2 >= octets && length == len - 2 - octets;
}

/* The first certificate in a file of PEM; as DER in `der`, its length. 0: there is none. */
static size_t
decode_pem(const char *text, uint8_t der[FILE_MOST])
{
	static const char begin[] = "-----BEGIN CERTIFICATE-----";
	const char *from = strstr(text, begin), *to;
	size_t len = 0;

	if (!from)
		return 0;
	from += sizeof(begin) - 1;
	to = strstr(from, "-----END CERTIFICATE-----");
	if (!to || sodium_base642bin(der, FILE_MOST, from, (size_t)(to - from), " \t\r\n", &len,
		       NULL, sodium_base64_VARIANT_ORIGINAL) != 0)
		return 0;
	return len;
}

static int
read_file(const char *path, char bytes[FILE_MOST + 1], size_t *ret_len, struct pn_error *err)
{
	FILE *file = fopen(path, "re");
	int r = 0;

	if (!file)
		return pn_error_set(err, -errno,
		    "\"%s\" is neither a fingerprint (SHA-256, 64 hexadecimal digits) nor a file "
		    "that can be read: %s",
		    path, strerror(errno));
	*ret_len = fread(bytes, 1, FILE_MOST, file);
	bytes[*ret_len] = '\0';
	if (ferror(file) || *ret_len == FILE_MOST)
		r = pn_error_set(err, -EINVAL, "%s is no certificate", path);
	fclose(file);
	return r;
}

static int
print_of_file(const char *path, char ret[PN_FINGERPRINT_SIZE], struct pn_error *err)
{
	char *bytes = malloc(FILE_MOST + 1);
	uint8_t *der = malloc(FILE_MOST), digest[crypto_hash_sha256_BYTES];
	size_t len = 0;
	int r = bytes && der ? read_file(path, bytes, &len, err)
			     : pn_error_set(err, -ENOMEM, "out of memory");

	if (r == 0 && is_der((uint8_t *)bytes, len))
		memcpy(der, bytes, len);
	else if (r == 0)
		len = decode_pem(bytes, der);
	if (r == 0 && !is_der(der, len))
		r = pn_error_set(err, -EINVAL, "%s holds no certificate in PEM or DER", path);
	if (r == 0) {
		crypto_hash_sha256(digest, der, len);
		sodium_bin2hex(ret, PN_FINGERPRINT_SIZE, digest, sizeof(digest));
	}
	free(bytes);
	free(der);
	return r;
}

/* What the command line names: the user, and the certificate. */
static int
read_arguments(struct pn_call *call, char **argv, struct pn_user *ret,
    char ret_print[PN_FINGERPRINT_SIZE], struct pn_error *err)
{
	int r = sodium_init() < 0 ? pn_error_set(err, -ENOTSUP, "libsodium cannot be used here")
				  : pn_user_find(call, argv[0], ret, err);

	if (r == 0 && pn_fingerprint_canonical(argv[1], ret_print) < 0)
		r = print_of_file(argv[1], ret_print, err);
	return r;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static int
note_there(void *arg, const struct pn_row *row)
{
	*(bool *)arg = true;
	return 0;
}

static int
is_there(
    struct pn_call *call, const char *address, const char *print, bool *ret, struct pn_error *err)
{
	*ret = false;
	return pn_db_query(call, err,
	    "SELECT 1 FROM auth_certificates WHERE address = ?1 AND fingerprint = ?2",
	    PN_VALUES(PN_TEXT(address), PN_TEXT(print)), note_there, ret);
}

static void
show_row(struct pn_console *console, const char *address, const char *print)
{
	pn_console_row(console);
	pn_console_field(console, "user", address);
	pn_console_field(console, "fingerprint", print);
}

int
certificate_add(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	char print[PN_FINGERPRINT_SIZE];
	struct pn_user user;
	bool there;
	int r = read_arguments(call, argv, &user, print, err);

	if (r == 0)
		r = is_there(call, user.address, print, &there, err);
	if (r == 0 && there)
		r = pn_error_set(err, -EEXIST, "%s has that certificate already", user.address);
	if (r == 0)
		r = pn_user_keep(call, user.address, err);
	if (r < 0)
		return r;
	pn_audit(call, user.address, "certificate", NULL, print);
	r = pn_db_run(call, err,
	    "INSERT INTO auth_certificates (address, fingerprint, made) VALUES (?1, ?2, ?3)",
	    PN_VALUES(PN_TEXT(user.address), PN_TEXT(print), PN_INT(time(NULL))));
	if (r == 0)
		show_row(console, user.address, print);
	return r;
}

static int
list_row(void *arg, const struct pn_row *row)
{
	struct pn_console *console = arg;
	struct pn_slice print = pn_row_bytes(row, 0);
	char text[PN_FINGERPRINT_SIZE], made[TIME_SIZE] = "";
	time_t seconds = (time_t)pn_row_int(row, 1);
	struct tm parts;

	snprintf(text, sizeof(text), "%.*s", (int)print.len, print.data);
	if (gmtime_r(&seconds, &parts))
		strftime(made, sizeof(made), "%Y-%m-%dT%H:%M:%SZ", &parts);
	pn_console_row(console);
	pn_console_field(console, "fingerprint", text);
	pn_console_field(console, "added", made);
	return 0;
}

int
certificate_list(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	struct pn_user user;
	int r = pn_user_find(call, argv[0], &user, err);

	return r < 0 ? r
		     : pn_db_query(call, err,
			   "SELECT fingerprint, made FROM auth_certificates WHERE address = ?1 "
			   "ORDER BY made, fingerprint",
			   PN_VALUES(PN_TEXT(user.address)), list_row, console);
}

int
certificate_remove(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	char print[PN_FINGERPRINT_SIZE];
	struct pn_user user;
	bool there;
	int r = read_arguments(call, argv, &user, print, err);

	if (r == 0)
		r = is_there(call, user.address, print, &there, err);
	if (r == 0 && !there)
		r = pn_error_set(
		    err, -ENOENT, "%s has no certificate of that fingerprint", user.address);
	if (r < 0)
		return r;
	pn_audit(call, user.address, "certificate", print, NULL);
	return pn_db_run(call, err,
	    "DELETE FROM auth_certificates WHERE address = ?1 AND fingerprint = ?2",
	    PN_VALUES(PN_TEXT(user.address), PN_TEXT(print)));
}
