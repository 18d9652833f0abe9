/** Whether a text has nothing that anybody could see. */
export const isBlank = (text: string): boolean => /^[\s\p{Cc}\p{Cf}\u115f\u1160\u2800\u3164\uffa0]*$/u.test(text);

const link = /(https?:\/\/[^\s<>"'，。；！？、）】」]*[^\s<>"'，。；！？、）】」.,;:!?)\]}])/;

/** Splits a text at its web addresses: every second part is one. */
export const partsOf = (text: string): string[] => text.split(link);
