// Packages that snippets import and that are not installed here, with what the snippets use of them.

declare module 'pg' {
  export class Pool {
    query (sql: string, values?: unknown[]): Promise<{ rows: Array<Record<string, string>> }>
    end (): Promise<void>
  }
}
