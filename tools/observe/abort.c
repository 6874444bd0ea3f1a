// SPDX-License-Identifier: GPL-2.0-only
/*
 * abort.c - vdi abort
 */
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#include "observe.h"
#include "vdi.h"

static int abort_set(struct vdi_observer *observer, uint64_t id,
		     const char *what, const char *text)
{
	switch (vdi_observer_abort(observer, id, EXIT_ABORTED, text)) {
	case NOERROR:
		return EXIT_OK;
	case VD_E_ABORT:
		vdi_error("%s is already aborted", what);
		return EXIT_OK;
	case VD_E_CLOSE:
		vdi_error("cannot abort %s: it has already terminated", what);
		return EXIT_FAILED;
	case VD_E_INVALID:
		vdi_error("cannot abort %s: no such set, or no permission to see it", what);
		return EXIT_FAILED;
	default:
		vdi_error("cannot abort %s: %s", what,
			  observe_message(observer));
		return EXIT_FAILED;
	}
}

int vdi_abort_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "id", required_argument, NULL, 'I' },
		{ "message", required_argument, NULL, 'm' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	static const char help[] =
		"usage: vdi abort [USER:]NAME [--message TEXT]\n"
		"       vdi abort --id NUMBER [--message TEXT]\n\n"
		"Aborts a set. The database and the backup program stop at once and report the\n"
		"process that aborted it, with TEXT. Several users may have sets of the same name;\n"
		"USER is the creator of the set. NUMBER is the \"id\" of 'vdi ls --json'.\n\n"
		"      --id NUMBER       the set with this number\n"
		"  -m, --message TEXT    reason to report (default: user and command)\n"
		"  -h, --help            show this help\n";
	const char *text = NULL;
	int exit_code = EXIT_OK;
	uint64_t id = 0;
	struct vdi_observer *observer;
	char what[300], by[VDI_TEXT_SIZE];
	int c;

	while ((c = getopt_long(argc, argv, "m:h", options, NULL)) != -1) {
		switch (c) {
		case 'I':
			if (!observe_parse_id(optarg, &id))
				return EXIT_USAGE;
			break;
		case 'm':
			text = optarg;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_OK;
		default:
			fputs(help, stderr);
			return EXIT_USAGE;
		}
	}
	if (optind != argc - !id) {
		fputs(help, stderr);
		return EXIT_USAGE;
	}
	if (!text) {
		vdi_abort_default(geteuid(), by, sizeof(by));
		text = by;
	}
	observer = observe_open(&exit_code);
	if (!observer)
		return exit_code;
	if (observe_choose(observer, argv[optind], &id, what, sizeof(what),
			   &exit_code))
		exit_code = abort_set(observer, id, what, text);
	vdi_observer_free(observer);
	return exit_code;
}
