export default function Editor() {
  return <div class="page" />;
}
