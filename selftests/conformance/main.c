// SPDX-License-Identifier: GPL-2.0
/*
 * main.c - runs or lists the rules
 *
 * usage: conformance [NAME-PREFIX...]	run, TAP
 *        conformance --list		the table of docs/conformance.md
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conformance.h"

#define MAX_RULES	1024
/* Time-out of a test in seconds; on a busy host some take a minute. */
#define LIMIT		1200

static struct cf_rule rules[MAX_RULES];
static unsigned int count;

void cf_add(const struct cf_rule *rule)
{
	if (count == MAX_RULES)
		abort();
	rules[count++] = *rule;
}

/* By section, "5.10" after "5.9"; within a section in the order of the source */
static unsigned int order[MAX_RULES];

static int compare(const void *a, const void *b)
{
	unsigned int x = *(const unsigned int *)a;
	unsigned int y = *(const unsigned int *)b;
	int differ = strverscmp(rules[x].section, rules[y].section);

	if (differ)
		return differ;
	return x < y ? -1 : 1;
}

static void sort(void)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		order[i] = i;
	qsort(order, count, sizeof(*order), compare);
}

static void name_of(const struct cf_rule *rule, char *buf, size_t size)
{
	snprintf(buf, size, "%s-%s", rule->section, rule->id);
}

/* Page names are those of the manual, vdi2005_*.htm. */
static const struct {
	const char *section;
	const char *title;
} titles[] = {
	{ "2", "VDConfig (5nqd, 5pke, 3zxq, 9y0p)" },
	{ "3", "Feature bits (2odv, 6z3d, 7ut1, 7v72, 3zxq, KB3188454)" },
	{ "4.1", "Client calls by state (7tyr)" },
	{ "4.2", "Server calls by state (0s1f, 3zxq, 34tq, 4kyt)" },
	{ "5.0", "Return codes (header)" },
	{ "5.1", "Create, CreateEx (02ew)" },
	{ "5.2", "Client GetConfiguration" },
	{ "5.3", "Client OpenDevice (9wrp)" },
	{ "5.4", "GetCommand (4oh0)" },
	{ "5.5", "CompleteCommand (4bfo)" },
	{ "5.6", "Client SignalAbort (60vo)" },
	{ "5.7", "Client Close (62w5)" },
	{ "5.8", "OpenInSecondary, OpenInSecondaryEx (9hh4)" },
	{ "5.9", "GetBufferHandle (2411)" },
	{ "5.10", "MapBufferHandle" },
	{ "6.1", "Server Open" },
	{ "6.2", "Server GetConfiguration" },
	{ "6.3", "BeginConfiguration (3zxq)" },
	{ "6.4", "RequestBuffers (8ktv)" },
	{ "6.5", "QueryAvailableBuffers" },
	{ "6.6", "EndConfiguration" },
	{ "6.7", "AllocateBuffer (271u)" },
	{ "6.8", "FreeBuffer (9acy)" },
	{ "6.9", "IsSharedBuffer" },
	{ "6.10", "Server OpenDevice" },
	{ "6.11", "ExecuteCompletionAgent (9l9w)" },
	{ "6.12", "SendCommand (1mg4, 66hz)" },
	{ "6.13", "CloseDevice" },
	{ "6.14", "Server SignalAbort (2ayc)" },
	{ "6.15", "Server Close (4kyt)" },
	{ "7.1", "Command structures (header, 02k3, 34z7, 0l4j)" },
	{ "7.2", "Commands: general rules (3zjn)" },
	{ "7.3", "Commands, one by one (4eer, 4hv7, 7i0j)" },
	{ "7.4", "Device errors: IO-ERROR and ClearError (66hz)" },
	{ "7.5", "Completion codes" },
	{ "8", "Buffers (9y0p, 3oit, 5pke, 8ktv, 271u, 2411)" },
	{ "9", "Abort (50oe, 60vo, 2ayc, 4kyt)" },
	{ "10", "Several processes (1ess, 9hh4, 9wrp, 2411)" },
	{ "11", "Snapshots (2mgk, 47n8, 7r78, 7ut1)" },
	{ "13", "Misuse (not part of the specification)" },
};

static const char *title_of(const char *section)
{
	unsigned int i;

	for (i = 0; i < sizeof(titles) / sizeof(titles[0]); i++) {
		if (!strcmp(titles[i].section, section))
			return titles[i].title;
	}
	abort();
}

static void list(void)
{
	const char *section = "";
	char name[128];
	unsigned int i;

	for (i = 0; i < count; i++) {
		const struct cf_rule *rule = &rules[order[i]];

		if (strcmp(section, rule->section)) {
			section = rule->section;
			printf("\n### %s %s\n\n| statement | test |\n|---|---|\n",
			       section, title_of(section));
		}
		name_of(rule, name, sizeof(name));
		printf("| %s | `%s` |\n", rule->text, name);
	}
}

static bool wanted(const char *name, int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++) {
		if (!strncmp(name, argv[i], strlen(argv[i])))
			return true;
	}
	return argc < 2;
}

/* The processes of the test are one group, which is killed as a whole. */
static bool run(const struct cf_rule *rule)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		printf("# cannot fork\n");
		return false;
	}
	if (!pid) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(LIMIT);
		rule->test(rule);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	kill(-pid, SIGKILL);
	if (WIFSIGNALED(status))
		printf("# killed by signal %d (%s)\n", WTERMSIG(status),
		       strsignal(WTERMSIG(status)));
	return status == 0;
}

int main(int argc, char **argv)
{
	unsigned int i, n = 0, chosen = 0;
	bool good = true;
	char name[128];

	sort();
	if (argc == 2 && !strcmp(argv[1], "--list")) {
		list();
		return 0;
	}
	for (i = 0; i < count; i++) {
		name_of(&rules[i], name, sizeof(name));
		chosen += wanted(name, argc, argv);
	}
	printf("TAP version 13\n1..%u\n", chosen);
	if (access("/dev/vdiset", F_OK))
		printf("# /dev/vdiset does not exist\n");
	for (i = 0; i < count; i++) {
		const struct cf_rule *rule = &rules[order[i]];
		bool ok;

		name_of(rule, name, sizeof(name));
		if (!wanted(name, argc, argv))
			continue;
		ok = run(rule);
		good &= ok;
		printf("%s %u %s\n", ok ? "ok" : "not ok", ++n, name);
	}
	return !good;
}
