#include "shards/message.h"

#include "base/crc32c.h"
#include "base/hash.h"

void warp_message_hash(struct warp_message *message, uint64_t hash_seed)
{
    message->next = NULL;
    message->hash = warp_hash_key(message->key.data, message->key.bytes, hash_seed);
    message->slot = warp_hash_slot(message->key.data, message->key.bytes);
    message->map_version = UINT64_MAX;
}

void warp_message_prepare(struct warp_message *message)
{
    struct warp_entry entry;
    uint32_t crc;

    if (message->opcode != WARP_OP_PUT && message->opcode != WARP_OP_DELETE) {
        return; /* a get has no frame, an add's value is not known yet */
    }
    entry.kind = message->opcode == WARP_OP_PUT ? WARP_ENTRY_PUT : WARP_ENTRY_DELETE;
    entry.flags = message->expires_at_ms != 0 ? WARP_ENTRY_HAS_EXPIRY : 0;
    entry.key = message->key.data;
    entry.key_bytes = (uint32_t)message->key.bytes;
    entry.value = message->value.data;
    entry.value_bytes = (uint32_t)message->value.bytes;
    entry.expires_at_ms = message->expires_at_ms;
    message->header_bytes = (uint8_t)warp_entry_encode_header(message->header, &entry);
    message->body_bytes =
        message->header_bytes + (uint32_t)(message->key.bytes + message->value.bytes);
    crc = warp_crc32c(0, message->header, message->header_bytes);
    crc = warp_crc32c(crc, message->key.data, message->key.bytes);
    if (message->value.bytes > 0) {
        crc = warp_crc32c(crc, message->value.data, message->value.bytes);
    }
    message->body_crc = crc;
}
