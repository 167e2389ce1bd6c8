const sentences = {
  login: () => 'Logged in: the code was redeemed for tokens',
  refreshed: (entry) => `Refreshed${about(entry)}`,
  refreshFailed: (entry) => `Refresh failed${about(entry)} (${reasons[entry.reason] ?? entry.reason})`,
  sessionEnded: ({ reason }) => `Session ended (${reasons[reason] ?? reason})`
}

const reasons = {
  ended: 'invalid_grant',
  refreshTokenDead: 'the refresh token is dead',
  unavailable: '503'
}

/** What an entry of the live list says. */
export function sentenceOf (entry) {
  return sentences[entry.what](entry)
}

function about ({ process, milliseconds, requests }) {
  return [
    process && ` by process ${process}`,
    milliseconds !== undefined && ` in ${Math.round(milliseconds)} ms`,
    requests && `, ${requests === 1 ? '1 request' : `${requests} requests`} waited`
  ].filter(Boolean).join('')
}
