/* SPDX-License-Identifier: Apache-2.0 */
/*
 * private_command.c - posternctl pki private import, list, remove, reseal, export.
 *
 * Called by posternctl. Must never show a private key, nor write one anywhere but for whoever the
 * administrator has named for recovery (S1-23).
 */
#include "private.h"
#include "recovery.h"
#include <errno.h>
#include <stdio.h>
#include <time.h>

#define PASS_SIZE 1025

static int
allowed(const struct pn_call *call, struct pn_error *err)
{
	const struct pki *cfg = pn_settings(call);

	return cfg->seal_with ? 0
			      : pn_error_set(err, -EPERM,
				    "no private keys are kept here: %s.seal_with names no keys to "
				    "seal them with",
				    pn_entry(call));
}

/* ---- import ---------------------------------------------------------------------------------- */

static int
read_pass(const char *path, char ret[PASS_SIZE], struct pn_error *err)
{
	FILE *file = fopen(path, "re");
	int r = 0;

	if (!file)
		return pn_error_set(
		    err, -errno, "%.300s: cannot open it: %s", path, strerror(errno));
	setbuf(file, NULL); /* no copy of it */
	if (!fgets(ret, PASS_SIZE, file))
		r = pn_error_set(err, -EINVAL, "%.300s: there is no pass phrase in it", path);
	else
		ret[strcspn(ret, "\r\n")] = '\0';
	fclose(file);
	return r;
}

static int
read_file(const char *path, char **ret, size_t *ret_len, struct pn_error *err)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	int r = 0;

	if (!file)
		return pn_error_set(
		    err, -errno, "%.300s: cannot open it: %s", path, strerror(errno));
	setbuf(file, NULL);
	*ret = g_malloc(IDENTITY_FILE_MOST + 1);
	*ret_len = fread(*ret, 1, IDENTITY_FILE_MOST + 1, file);
	if (ferror(file))
		r = pn_error_set(err, -EIO, "%.300s: cannot read it", path);
	if (file != stdin)
		fclose(file);
	return r;
}

static int
read_identity(const char *path, const char *pass_path, struct identity *ret, struct pn_error *err)
{
	char pass[PASS_SIZE] = "", *bytes = NULL;
	size_t len = 0;
	int r = pass_path ? read_pass(pass_path, pass, err) : 0;

	if (r == 0)
		r = read_file(path, &bytes, &len, err);
	if (r == 0) {
		r = identity_read(pn_slice(bytes, len), pass_path ? pass : NULL, ret, err);
		if (r < 0)
			pn_error_in(err, "%.300s", path);
	}
	if (bytes)
		OPENSSL_cleanse(bytes, len);
	g_free(bytes);
	OPENSSL_cleanse(pass, sizeof(pass));
	return r;
}

/* A domain's certificate names whom it likes: it speaks for the gateway. */
static int
judge(const char *name, const struct identity *identity, struct certificate_judgement *ret,
    struct pn_error *err)
{
	struct certificate_terms terms = {
		.address = strchr(name, '@') ? name : NULL,
		.any_case = true,
		.use = CERTIFICATE_TO_SIGN,
		.now = time(NULL),
	};

	return certificate_judge_x509(identity->certificate, identity->chain, &terms, ret)
		   ? 0
		   : pn_error_set(err, -EKEYREJECTED, "the certificate cannot sign for %.320s: %s",
			 name, ret->reason);
}

static void
show(struct pn_console *console, const char *name, const char *fingerprint, int64_t not_after)
{
	char text[PKI_DAY_SIZE];

	pn_console_row(console);
	pn_console_field(console, "name", name);
	pn_console_field(console, "fingerprint", fingerprint);
	pn_console_field(console, "until", pki_day(not_after, text));
}

static int
import(struct pn_call *call, struct pn_console *console, const char *name, const char *path,
    const char *pass_path, struct pn_error *err)
{
	struct certificate_judgement judgement;
	struct identity identity = { 0 };
	int r = read_identity(path, pass_path, &identity, err);

	if (r == 0)
		r = judge(name, &identity, &judgement, err);
	if (r == 0)
		r = private_put(
		    call, name, &identity, judgement.fingerprint, judgement.not_after, err);
	identity_clear(&identity);
	if (r == 0)
		show(console, name, judgement.fingerprint, judgement.not_after);
	return r;
}

int
private_run_import(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	bool pass = argc == 4 && strcmp(argv[0], "--pass-file") == 0;
	char **rest = pass ? argv + 2 : argv;
	char name[PN_ADDRESS_SIZE];
	int r = allowed(call, err);

	if (r == 0 && !pass && argc != 2)
		r = pn_error_set(err, -EINVAL,
		    "an address or a domain and a file are wanted, behind --pass-file FILE if the "
		    "key has a pass phrase");
	if (r == 0)
		r = private_name(call, rest[0], name, err);
	return r == 0 ? import(call, console, name, rest[1], pass ? argv[1] : NULL, err) : r;
}

/* ---- list, remove, reseal -------------------------------------------------------------------- */

static int
list_row(void *arg, const struct private_row *row)
{
	struct pn_console *console = arg;
	char text[PKI_DAY_SIZE];

	show(console, row->name, row->fingerprint, row->not_after);
	pn_console_field(console, "added", pki_day(row->added, text));
	pn_console_field(console, "exported", pki_day(row->exported, text));
	return 0;
}

int
private_run_list(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	char name[PN_ADDRESS_SIZE];
	int r = argc > 0 ? private_name(call, argv[0], name, err) : 0;

	return r == 0 ? private_each(call, argc > 0 ? name : NULL, list_row, console, err) : r;
}

int
private_run_remove(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	char name[PN_ADDRESS_SIZE];
	int r = private_name(call, argv[0], name, err);

	(void)argc;
	if (r == 0)
		r = private_remove(call, name, err);
	if (r == 0) {
		pn_console_row(console);
		pn_console_field(console, "removed", name);
	}
	return r;
}

int
private_run_reseal(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	char number[24];
	size_t count;
	int r = private_reseal(call, &count, err);

	(void)argc;
	(void)argv;
	if (r < 0)
		return r;
	snprintf(number, sizeof(number), "%zu", count);
	pn_console_row(console);
	pn_console_field(console, "resealed", number);
	return 0;
}

/* ---- export ---------------------------------------------------------------------------------- */

struct exporting {
	struct pn_call *call;
	struct pn_error *err;
	struct identity identity;
	bool found;
};

static int
open_row(void *arg, const struct private_row *row)
{
	struct exporting *exporting = arg;

	exporting->found = true;
	return private_open(exporting->call, row, &exporting->identity, exporting->err);
}

/* The audit log says so first: whoever stops the command in between has exported nothing. */
static int export(
    struct pn_call *call, const char *name, const char *path, X509 *to, struct pn_error *err)
{
	struct exporting exporting = { .call = call, .err = err };
	char print[CERTIFICATE_PRINT_SIZE];
	int r = private_each(call, name, open_row, &exporting, err);

	if (r == 0 && !exporting.found)
		r = pn_error_set(err, -ENOENT, "there is no private key of %.320s", name);
	certificate_fingerprint(to, print);
	if (r == 0)
		r = private_mark_exported(call, name, print, err);
	if (r == 0)
		r = recovery_write(&exporting.identity, to, path, err);
	identity_clear(&exporting.identity);
	return r;
}

int
private_run_export(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	const struct pki_prepared *prepared = pn_derived(call);
	char name[PN_ADDRESS_SIZE];
	int r = allowed(call, err);

	(void)argc;
	if (r == 0 && !prepared->recovery)
		r = pn_error_set(err, -EPERM,
		    "keys are not handed out here: %s.recovery names nobody to hand them to",
		    pn_entry(call));
	if (r == 0)
		r = private_name(call, argv[0], name, err);
	if (r == 0)
		r = export(call, name, argv[1], prepared->recovery, err);
	if (r < 0)
		return r;
	pn_console_row(console);
	pn_console_field(console, "name", name);
	pn_console_field(console, "written", argv[1]);
	return 0;
}
