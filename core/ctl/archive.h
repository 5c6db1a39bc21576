/* SPDX-License-Identifier: Apache-2.0 */
/*
 * archive.h - a backup as a file: a tar with MANIFEST.json as its last member, which has the
 * SHA-256 of every other one. What stands in it is for ordinary tools as well.
 *
 * Blocks; one thread. Reading believes nothing before the manifest has said that it is so.
 */
#ifndef CORE_CTL_ARCHIVE_H
#define CORE_CTL_ARCHIVE_H

#include <core/ctl/progress.h>
#include <jansson.h>
#include <postern/base.h>

#define ARCHIVE_FORMAT   1 /* of the manifest and of what is where; greater ones are refused */
#define ARCHIVE_MANIFEST "MANIFEST.json"

/* ---- writing ---- */

struct archive_writer;

/*
 * Begins `path` under another name beside it, mode 0600. -EEXIST: there is such a file. Compressed
 * if the name ends in .gz or .zst.
 */
int archive_create(const char *path, struct archive_writer **ret, struct pn_error *err);
/* A file of that name and its bytes as they are now. `progress` may be NULL. */
int archive_add(struct archive_writer *writer, const char *name, const char *path,
    struct progress *progress, struct pn_error *err);
/* Writes the manifest with `facts` (taken) in it; only now, synced, the file has its name. */
int archive_commit(struct archive_writer *writer, json_t *facts, struct pn_error *err);
/* What was not committed leaves nothing behind. */
void archive_close(struct archive_writer **writer);

/* ---- reading ---- */

/*
 * Reads all of it: every member is what the manifest says, and nothing is missing or too much.
 * -EBADMSG with the member and what is wrong; -EPROTONOSUPPORT: from a newer version.
 */
int archive_check(
    const char *path, struct progress *progress, json_t **ret_manifest, struct pn_error *err);
/*
 * Writes members of a manifest that was checked to new files of mode 0600, synced, and checks them
 * again: all below `name` if that ends in "/", under their last names in the folder `to`; else the
 * one of that name, to the file `to`. Their number. -EEXIST.
 */
int archive_extract(const char *path, const json_t *manifest, const char *name, const char *to,
    struct progress *progress, struct pn_error *err);

#endif
