/**
 * What to do when a connection has ended. It follows from the close code alone, and for codes that nobody knows yet from their range.
 */

export type Verdict =
  /** One client was asked to go, not all of them: come back without a pause, once. */
  | "at once"
  /** Come back after a pause. */
  | "back off"
  /** Come back with a new token. */
  | "fresh token"
  /** Do not come back; a person, or the program, has to do something first. */
  | "never";

export function verdict(code: number): Verdict {
  switch (code) {
    case 1001: // GOING_AWAY: each has its turn
    case 4004: // REBALANCE
      return "at once";
    case 4002: // TOKEN_EXPIRED
      return "fresh token";
    case 1005: // No code was sent: lost like 1006.
    case 1006:
    case 1011: // INTERNAL
    case 1012: // RESTART
      return "back off";
    default:
      return code >= 4000 && code <= 4499 ? "back off" : "never";
  }
}
