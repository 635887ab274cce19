/*
 * tools/commands.h - the subcommands of the one program, each as a function.
 *
 * Threads:   the main thread.
 * Lifetime:  argv is the process's; argv[0] is the name of the command.
 * Units:     the answer is the exit status, see tools/options.h.
 * Ordering:  none.
 * Errors:    printed to stderr, told by the exit status.
 * Cost:      not on any hot path.
 */
#ifndef WARP_TOOLS_COMMANDS_H
#define WARP_TOOLS_COMMANDS_H

int warp_tool_put(int argc, char **argv);
int warp_tool_get(int argc, char **argv);
int warp_tool_del(int argc, char **argv);
int warp_tool_incr(int argc, char **argv);
int warp_tool_load(int argc, char **argv);
int warp_tool_dump(int argc, char **argv);
int warp_tool_stat(int argc, char **argv);
int warp_tool_metrics(int argc, char **argv);
int warp_tool_top(int argc, char **argv);
int warp_tool_gravity(int argc, char **argv);
int warp_tool_exporter(int argc, char **argv);
int warp_tool_checkpoint(int argc, char **argv);
int warp_tool_compact(int argc, char **argv);
int warp_tool_backup(int argc, char **argv);
int warp_tool_restore(int argc, char **argv);
int warp_tool_shell(int argc, char **argv);
/* Not in the list that --help prints: for make demo and the crash tests. */
int warp_tool_torture_writer(int argc, char **argv);
int warp_tool_torture_check(int argc, char **argv);

/* tools/inspect/ */
int warp_tool_verify(int argc, char **argv);
int warp_tool_salvage(int argc, char **argv);
/* bench/ */
int warp_bench_main(int argc, char **argv);

#endif
