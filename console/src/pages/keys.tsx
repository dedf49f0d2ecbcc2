export default function Keys() {
  return <div class="page" />;
}
