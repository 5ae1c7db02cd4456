declare module 'dcmjs/dictionary' {
  interface DictionaryEntry {
    tag: string;
    vr: string | undefined;
    name: string;
    vm: string;
    version: string;
  }
  const dictionary: Record<string, DictionaryEntry>;
  export default dictionary;
}
