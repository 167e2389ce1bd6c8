import { promisify } from 'node:util'
import { brotliDecompress, constants, inflateRaw, unzip } from 'node:zlib'

const [unzipped, inflated, brotliDecompressed] = [promisify(unzip), promisify(inflateRaw), promisify(brotliDecompress)]

/** No coding is undone more often than this, whatever an answer says. */
const MAX_CODINGS = 5

/**
 * Undoes the content codings of an answer (RFC 9110 §8.4). What does not open stays as it came: it may be in clear, whatever
 * its header says, and how an unreadable answer counts is judged with its status. What was cut off is read as far as it goes.
 *
 * @param most - bytes; a coding that would give more is refused before it has.
 * @throws RangeError where it is more.
 */
export async function decoded (content: Buffer, most: number, contentEncoding: string | string[] = ''): Promise<Buffer> {
  const codings = String(contentEncoding).toLowerCase().split(',').map((coding) => coding.trim()).slice(-MAX_CODINGS)
  try {
    return await codings.reduceRight(async (rest, coding) => await decode(await rest, coding, most), Promise.resolve(content))
  } catch (error) {
    if (error instanceof RangeError) throw new RangeError(`the answer is larger than ${most} bytes`)
    return content
  }
}

async function decode (content: Buffer, coding: string, maxOutputLength: number): Promise<Buffer> {
  if (content.length === 0) return content
  switch (coding) {
    case 'gzip':
    case 'x-gzip':
      return await unzipped(content, { maxOutputLength, finishFlush: constants.Z_SYNC_FLUSH })
    case 'deflate': {
      // RFC 9110 §8.4.1.2 means zlib's format, and some services send what is inside of that.
      const isZlib = content[0] !== undefined && (content[0] & 0x0F) === 8
      return await (isZlib ? unzipped : inflated)(content, { maxOutputLength, finishFlush: constants.Z_SYNC_FLUSH })
    }
    case 'br':
      return await brotliDecompressed(content, { maxOutputLength, finishFlush: constants.BROTLI_OPERATION_FLUSH })
    default:
      return content
  }
}
