/*
 * wal/archive.h - files of compressed records that the log no longer has to hold.
 *
 * Compaction copies what still lives in old log into an archive file, in slot order and in
 * blocks of a few KiB that are compressed with zstd, with a dictionary trained on the file's
 * first entries if that pays. A file is written once, from front to back, under a name that
 * nobody reads; sealing gives it its own name when all of it is durable, and from then on it
 * never changes. Every block names its database, its file and its place in it, so bytes of
 * another file or from another place never pass for an entry. Drawn in docs/WAL_FORMAT.md.
 * Blocks with an index behind them are as in O'Neil et al., "The Log-Structured Merge-Tree",
 * Acta Informatica 33(4), 1996, and its descendants, but here nothing is looked up in them:
 * a record knows its place.
 *
 * Threads:   a writer by one thread at a time; a decoder and an info by any number at once;
 *            walk, list and find by any.
 * Lifetime:  disk, memory and manifest outlive what was made with them; a decoder outlives
 *            the infos made with it. info does not keep the file handle.
 * Units:     bytes, units of 512 bytes where it says so, entries.
 * Ordering:  seal returns after the file is durable under its name. The contexts of a decoder
 *            change hands by an atomic exchange, acquire and release.
 * Errors:    WARP_EIO, _ENOSPC, _EPERM, _ESYSTEM (no handles), _ENOENT from the disk;
 *            _ENOMEM; _EFORMAT (no archive file, or of another database), _EVERSION,
 *            _EDAMAGED from reading.
 * Cost:      a writer holds 1 - 3 MiB, twice the greatest entry while it adds one that is
 *            larger than a block, and, while a dictionary is trained, about 10 MiB that zstd
 *            takes from the C library and gives back. An info is its dictionary and 32 KiB;
 *            a decoder's context 94 KiB. block_entry: two passes of CRC-32C and one of zstd
 *            over the block, no system call, and no allocation unless all contexts are in
 *            use: 5 us for 4 KiB of text, 8 us for 8 KiB, 15 us for 16 KiB. Padding to 512
 *            bytes costs a compressed block of 4 KiB a sixth of its length, one of 8 KiB a
 *            tenth.
 */
#ifndef WAL_ARCHIVE_H
#define WAL_ARCHIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/io.h"
#include "base/memory.h"
#include "wal/block.h"
#include "wal/frame.h"
#include "wal/manifest.h"
#include "wal/place.h"

#define WARP_ARCHIVE_FILE_BYTES_MAX        (1u << 30)
#define WARP_ARCHIVE_NAME_BYTES            32u
#define WARP_ARCHIVE_BLOCK_HEADER_BYTES    WARP_BLOCK_HEADER_BYTES
#define WARP_ARCHIVE_BLOCK_BYTES_DEFAULT   8192u
#define WARP_ARCHIVE_BLOCK_BYTES_FLOOR     1024u
#define WARP_ARCHIVE_BLOCK_BYTES_CEIL      262144u
#define WARP_ARCHIVE_DICTIONARY_BYTES_CEIL 131072u
#define WARP_ARCHIVE_BUFFER_BYTES_FLOOR    4096u
#define WARP_ARCHIVE_SAMPLE_BYTES          1048576u /* raw bytes a dictionary is trained on */
#define WARP_ARCHIVE_LEVEL_MAX             19

/* "archive-<16 hexadecimal digits>.warp", and ".new" while it is being made. */
void warp_archive_name(uint32_t number, char out[WARP_ARCHIVE_NAME_BYTES]);
void warp_archive_name_aside(uint32_t number, char out[WARP_ARCHIVE_NAME_BYTES]);

/* ---- writing ---------------------------------------------------------------------------- */

struct warp_archive_writer;

/*
 * What one file's writer leaves for the next: the dictionary that was trained last, or that none paid, so
 * that 16 files share the price of one training, the greatest single step of compaction (40 ms, and 10 MiB
 * of fresh memory). A file still has its own copy. Files of it are trained anew when they shrink by a
 * sixteenth less with it than the first one did. One writer at a time; zeroed but for memory before
 * the first; release gives back what it holds.
 */
struct warp_archive_lesson {
    struct warp_memory *memory;
    uint8_t *bytes; /* the dictionary; NULL: none */
    uint32_t capacity, byte_count;
    uint32_t files; /* begun with it, and the one it was trained on */
    uint32_t
        permille; /* that blocks of the first took with it, of what they took without */
};

void warp_archive_lesson_release(struct warp_archive_lesson *lesson);

struct warp_archive_config {
    const struct warp_disk *disk;
    struct warp_memory *memory;
    const struct warp_manifest *manifest; /* its id and epoch bind every block */
    uint32_t number; /* of the new file, < 2^22; not used before in this epoch */
    uint32_t
        block_bytes; /* raw bytes of a block and its header; a larger entry has its own */
    int level;       /* of zstd, 1 - 19; 0: blocks are stored raw */
    uint32_t
        dictionary_bytes; /* at most so large, used if it pays; 0: none; else >= 1,024 */
    struct warp_archive_lesson *lesson; /* NULL: every file trains its own */
    uint32_t buffer_bytes; /* the file is written in pieces of so many; multiple of 4,096 */
    bool direct;           /* past the page cache where the file system can */
};

/* entry.flags: WARP_ENTRY_HAS_CHECKSUM is ignored, for the block has a checksum. */
struct warp_archive_item {
    uint32_t slot; /* < 65,536; never less than that of the item before */
    uint64_t hash;
    uint64_t sequence;
    struct warp_entry entry;
    void *cookie;
};

struct warp_archive_totals {
    uint64_t entries;
    uint64_t raw_bytes;    /* sum of the entries' bytes, as in the log without checksums */
    uint64_t stored_bytes; /* of the file */
    uint64_t blocks, blocks_compressed; /* that hold entries */
    uint32_t dictionary_bytes;          /* 0: none was used */
};

/*
 * Tells where an item has gone, once its block is complete, in the order of adding; called
 * from within add or seal. The place counts only after seal has returned 0: if it never
 * does, forget what was told.
 */
typedef void (*warp_archive_placed)(void *context, void *cookie, uint64_t place);

/* Make the file under its half-made name, replacing one that a crash has left. WARP_EEXIST:
 * there is a whole one of this number. */
int warp_archive_writer_create(struct warp_archive_writer **writer,
                               const struct warp_archive_config *config,
                               warp_archive_placed placed, void *context);

/*
 * Copies the item. Callers add in slot order. 0; WARP_AGAIN: the file is full, seal it and
 * add the item to the next one; WARP_ENOMEM: the item was not added, try again or give up;
 * WARP_ENOSPC, WARP_EIO and others: the writer has failed, answers the same from now on and
 * can only be destroyed. Writes at most buffer_bytes and what it has gathered to train the
 * dictionary (1 MiB), or an item that is larger.
 */
int warp_archive_writer_add(struct warp_archive_writer *writer,
                            const struct warp_archive_item *item);

/* How long the file is going to be at most, if it is sealed now. */
uint64_t warp_archive_writer_bytes(const struct warp_archive_writer *writer);

/*
 * Last block, index, trailer, sync, rename to its name, sync of the directory. Until it has
 * returned 0 nothing counts, and no crash leaves anything that does, but for one between the
 * rename and the return: the whole file may be there. Once it has returned 0 or an error
 * other than WARP_ENOMEM the writer can only be destroyed. An archive of no entries is
 * allowed. totals may be NULL.
 */
int warp_archive_writer_seal(struct warp_archive_writer *writer,
                             struct warp_archive_totals *totals);

/* *writer may be NULL. If it was not sealed, the half-made file is removed. */
void warp_archive_writer_destroy(struct warp_archive_writer **writer);

/* ---- reading one entry ------------------------------------------------------------------ */

/*
 * The contexts zstd needs to decompress: made when first needed, at most context_count are
 * kept; when all are in use, a thread makes one more for one call. One decoder serves all
 * files, so that their number does not matter. create itself takes hardly any memory.
 */
struct warp_archive_decoder;
int warp_archive_decoder_create(struct warp_archive_decoder **decoder,
                                struct warp_memory *memory, uint32_t context_count);
void warp_archive_decoder_destroy(struct warp_archive_decoder **decoder);

/* What must be known of a file to decode its blocks: number, epoch, dictionary. It does not
 * change, so threads may share it. */
struct warp_archive_info;

/*
 * Read and check header and dictionary of an open file, which may be direct. Two reads at
 * most.
 */
int warp_archive_info_create(struct warp_archive_info **info, const struct warp_disk *disk,
                             struct warp_memory *memory,
                             const struct warp_manifest *manifest,
                             struct warp_archive_decoder *decoder, int32_t file,
                             uint32_t number);
void warp_archive_info_destroy(struct warp_archive_info **info);

/*
 * head: the first WARP_ARCHIVE_BLOCK_HEADER_BYTES of the block at `place`. 0; *stored_bytes:
 * what the whole block takes in the file, a multiple of 512 and, unless place has 0 units,
 * just as many units as place says; *raw_bytes: the scratch that block_entry needs, 0 when
 * the block is stored raw. Both are bounded by the greatest entry. WARP_EDAMAGED: no block
 * of entries of this file begins there, or none that has an entry of that index; WARP_EVERSION.
 */
int warp_archive_block_size(const struct warp_archive_info *info, const void *head,
                            uint64_t place, uint32_t *stored_bytes, uint32_t *raw_bytes);

/*
 * The entry at `place` out of its whole block. Key and value of *entry then lie in scratch,
 * or in block when it is stored raw; scratch may be NULL when it needs none. block_bytes may
 * be more than the block takes. Checks place, checksums and the entry's shape. 0,
 * WARP_EDAMAGED, WARP_EVERSION; WARP_ENOMEM: no context could be made; WARP_EINVAL: scratch
 * is too small for what the header says.
 */
int warp_archive_block_entry(const struct warp_archive_info *info, const void *block,
                             uint32_t block_bytes, uint64_t place, void *scratch,
                             uint32_t scratch_bytes, struct warp_entry *entry,
                             uint64_t *sequence);

/*
 * The same for who wants several entries of the block: *head and *raw are for warp_block_entry(),
 * index by index; raw points into scratch or block.
 */
int warp_archive_block_open(const struct warp_archive_info *info, const void *block,
                            uint32_t block_bytes, uint64_t place, void *scratch,
                            uint32_t scratch_bytes, struct warp_block *head,
                            const void **raw);

/* ---- reading whole files ---------------------------------------------------------------- */

/*
 * Every entry of a file in order, block by block: for compaction of archives, verify,
 * salvage. Key and value of *entry end when visit returns. visit returns non-zero to stop,
 * which walk then returns. What is damaged, the file's header, index and trailer included,
 * is told through `damaged` (may be NULL) and skipped: walk goes on at the next block that
 * passes. 0 also if something was damaged; WARP_EFORMAT, WARP_EVERSION, WARP_EIO only when a
 * whole file cannot be read for it: a piece that cannot be read is damaged.
 */
int warp_archive_walk(const struct warp_disk *disk, struct warp_memory *memory,
                      const struct warp_manifest *manifest, uint32_t number,
                      int (*visit)(void *context, const struct warp_entry *entry,
                                   uint64_t sequence, uint64_t place),
                      void (*damaged)(void *context, uint64_t offset, uint64_t bytes,
                                      const char *what),
                      void *context);

/*
 * The same one block at a time, for who has to do other things in between. next walks one
 * block, or tells of one damaged stretch; it returns 0, or what visit returned, and then the
 * next call walks the same block again from its first entry, or WARP_ENOMEM. *more says
 * whether there is another call to make.
 */
struct warp_archive_cursor;
int warp_archive_cursor_create(struct warp_archive_cursor **cursor,
                               const struct warp_disk *disk, struct warp_memory *memory,
                               const struct warp_manifest *manifest, uint32_t number,
                               int (*visit)(void *context, const struct warp_entry *entry,
                                            uint64_t sequence, uint64_t place),
                               void (*damaged)(void *context, uint64_t offset,
                                               uint64_t bytes, const char *what),
                               void *context);
/* Have each entry of a block shown beforehand, so that what is needed for it can be fetched. */
void warp_archive_cursor_look_ahead(struct warp_archive_cursor *cursor,
                                    void (*ahead)(void *context,
                                                  const struct warp_entry *entry));
int warp_archive_cursor_next(struct warp_archive_cursor *cursor, bool *more);
void warp_archive_cursor_destroy(struct warp_archive_cursor **cursor);

/*
 * Slot, hash, sequence and place of every entry, in the order of adding, from the index,
 * without reading the entries. visit as above. WARP_EDAMAGED when the header, the index or
 * the trailer is: what was visited before was right.
 */
int warp_archive_list(const struct warp_disk *disk, struct warp_memory *memory,
                      const struct warp_manifest *manifest, uint32_t number,
                      int (*visit)(void *context, uint32_t slot, uint64_t hash,
                                   uint64_t sequence, uint64_t place),
                      void *context);

/*
 * Which archive files there are, ascending; only names are looked at. Half-made ones are
 * removed unless read_only. *numbers is reserved from memory, *count of them, the caller's to
 * release; NULL when there are none.
 */
int warp_archive_find(const struct warp_disk *disk, struct warp_memory *memory,
                      bool read_only, uint32_t **numbers, uint32_t *count);

#endif
