// SPDX-License-Identifier: GPL-2.0-only
/*
 * vdi.c - the table of subcommands; both sides of virtual device sets
 */
#include <stdio.h>
#include <string.h>

#include "common/common.h"
#include "vdi.h"

static const struct command {
	const char *name;
	int (*main)(int argc, char **argv);
	const char *help;
} commands[] = {
	{ "backup", vdi_backup_main, "store a database's backup in a directory" },
	{ "restore", vdi_restore_main, "send a stored backup to the database" },
	{ "verify", vdi_verify_main, "check that a backup is complete and undamaged" },
	{ "list", vdi_list_main, "list the backups in a directory" },
	{ "expire", vdi_expire_main, "remove old backups by rules" },
	{ "serve", vdi_serve_main, "act as the database: send or receive a stream" },
	{ "ls", vdi_ls_main, "list the sets in use" },
	{ "top", vdi_top_main, "show the throughput, and which side limits it" },
	{ "abort", vdi_abort_main, "abort a set for all of its parties" },
	{ "throttle", vdi_throttle_main, "limit the throughput of a set" },
	{ "info", vdi_info_main, "show version and limits of the kernel module" },
	{ "load", vdi_load_main, "load the kernel module" },
};

#define NCOMMANDS (sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *out)
{
	size_t i;

	fprintf(out, "usage: vdi COMMAND [ARGUMENTS]\n\n"
		"Backup and restore of databases through virtual device sets.\n\n"
		"commands:\n");
	for (i = 0; i < NCOMMANDS; i++)
		fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].help);
	fprintf(out, "\n'vdi COMMAND --help' describes a command.\n\n"
		"exit codes: 0 done, 1 failed, 2 wrong usage, 3 aborted by another party,\n"
		"4 timed out, 5 backup incomplete or damaged, 6 no kernel module,\n"
		"7 no backup is young enough, 130 interrupted\n");
}

int main(int argc, char **argv)
{
	size_t i;

	vdi_occupy_standard_files();
	if (argc < 2) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
	    !strcmp(argv[1], "help")) {
		usage(stdout);
		return EXIT_OK;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		printf("vdi %s\n", vdi_version());
		return EXIT_OK;
	}
	for (i = 0; i < NCOMMANDS; i++) {
		if (strcmp(argv[1], commands[i].name))
			continue;
		/* the program in messages of getopt(3) */
		argv[1] = (char *)vdi_program();
		return commands[i].main(argc - 1, argv + 1);
	}
	vdi_error("unknown command '%s'; 'vdi --help' lists the commands", argv[1]);
	return EXIT_USAGE;
}
