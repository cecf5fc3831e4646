// Shares as a person reads them in plain text.

/** 0.6234 as "62.3 %". Pages set it with a thin space and a real minus sign (dashboard/numbers.ts). */
export const percent = (share: number, decimals = 1): string => `${(100 * share).toFixed(decimals)} %`;
