import { readFileSync } from 'node:fs'

/**
 * Tells tap whether a test file counts as coverage (`[]`) or not (`null`): not, if it starts processes of its own. tap
 * measures those too, and what tsx makes of lib in them is one long line; merged, it makes every file look covered.
 */
export default function coverageMap (testFile) {
  return /'node:child_process'|support\/cluster\//.test(readFileSync(testFile, 'utf8')) ? null : []
}
