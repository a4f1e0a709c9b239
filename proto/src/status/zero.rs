//! Roots of full subtrees of zero chunks, computed once and for all: most of a status tree is made of them.

use crate::Hash;

/// The root of 2^level zero chunks, by level.
pub(super) const ZERO_ROOTS: [Hash; 58] = [
    root(b"7f9c9e31ac8256ca2f258583df262dbc7d6f68f2a03043d5c99a4ae5a7396ce9"),
    root(b"a4b8c7873a49d5d53af0b2a0202486483020d95935d763edc4ef2f602200d8de"),
    root(b"b46fd516fa6c7dcddd52ac2be2a014d8a8de4eaa059f79ccfcff4b8afc4e7ddc"),
    root(b"dcc995ad7e4c442877c1f381f5e9532822114c527a2cb1669696a42105488a5d"),
    root(b"3f54a275d259bc683a263f0ae5809e0ca6381536908a2c7b083d0aef044f1956"),
    root(b"cc04e6c411121fdbc9d9d9ea13ba2658b1a1e086f3f9f16d6cc418f03d1c4b6b"),
    root(b"5306dd8207978ef077b01ca9612225562f3051b027192cb6ef758dfc52670cd3"),
    root(b"91ae393299f3722972eb083c65d3da84ebbbec2bad40f900d505cff543d4573e"),
    root(b"f76add9d82489f11e3532ba85dfc66dd01d468651a686046c7534d18c5ae4fc8"),
    root(b"c6f47196c4c087cad09335bd106416c4896caa73c29324ec44dfe59dc670bf10"),
    root(b"d2948da475c50d98dc4528ece6d29b2152781b7badec36925e1ef9f539ba4f86"),
    root(b"527410b8f58e3d549c9eb4393586e8bf4b3522a4a105411268241d697492a2c6"),
    root(b"ffc30445f8b033cef1b062a277ac202de5b58fc4a4e68f22b8d7e2519bd3a2c2"),
    root(b"7ad649618ec6a58f7eb682d01811fb7202f3ab7bf15e849f847cd6ebdafac203"),
    root(b"460b0772986c22995335e8e4f738a976a4b4969140e102c4b9ea8083636f63b1"),
    root(b"63e87940e6ad90bd30a75b347ff7aac1390d54c2bb85542703c587959ccb032f"),
    root(b"f27815d173ff44959dc7f08284b57a28a18b7c329d3f7c2ff98fabcce0651c80"),
    root(b"5a27e6ce227b39fc5ef4e32792468ae217aa62b92134ee05cec47fa27b6b27db"),
    root(b"282a8df3af2e9dd9d0d565ed8cf9b942e52cef31b1793bd178f4f12a5965fffb"),
    root(b"f80c4cc530d5f8c2a9572b4448d20ac923820d858cea1ee06a7a5aa9e4c8cad9"),
    root(b"ac5b1c358a294dec99146ebb2fea0c8a528fc4dad578485d7f279c2b359099f3"),
    root(b"d163fc027e1a30d9dd8df5711381fbfff8720329ba539099d4347db97cd12894"),
    root(b"1f91a3ef0da82ab681f38174e204d9cbc49b62ff5ce32b734c96206e8c97cb43"),
    root(b"785322dce95f609e34306d01d29fe948bc1b0527d1187d3c57f6fbf58f32c0b5"),
    root(b"6f922ad95169137eba8cb0721ba7c6853327faa856ef4744923ec8b290c4ba7d"),
    root(b"14cac1e3c4954887ffd26adc1efe0d02c28d2f6ba5be8d4ac57e08059d5d4f08"),
    root(b"7f820a8098167580ab2295a48cf1f74c2dafceb08d09380475538ec51c799f96"),
    root(b"42cfa9b6ff3900401145b8ade3c210b58f3e81a31e5a2ff344a8357337561a74"),
    root(b"294a358c576290821ddd4a97ca5e2b9d226e679b5a119f711c7631b5c0cb9dba"),
    root(b"69b5c54734e9ea9c3bd480a81f49428d5e882f20f4e33c91e00f0ea9270d783f"),
    root(b"7c2100ddc6f8756391dc9ff548e7c8744b27fcc9c3388bab89c3375e3e60a759"),
    root(b"d06a65afd96a25b246b8cdac3fc0ad28517286f5b9176cdd9ed3677468633417"),
    root(b"7bd04b80addf6cf40bd9b1bcee6addf2de66d1eca4798633f9bb8770dd37ae9e"),
    root(b"67f9e40553b073f76bc0e8961a1ba5ee1ecd45b9f9b983c9d29d08229217636b"),
    root(b"b1ee11c86e258bbb80a5a3ce69ee9dc34b42fc630879f4e89fd5f21a773891f5"),
    root(b"a491bb598f0477cdd82e17cfdabd36604c0a654046613a86895cf8b2d5bc02cf"),
    root(b"d8c1acab36176d89bc15aa53ba6e1eae9802f95f1cdad11a3a849ae500ee8151"),
    root(b"27855adc83883035b33374d6c490dd1faeda02d88679e7b236e70b087849d9b3"),
    root(b"f073ae994f680edb7a5c146ce4c7c4c303e3bd7ffe4839504fdb269f680f0a77"),
    root(b"020bbb3c22b53bcf31ae55f56769399480626605560b9e5f6e2e8d531bb7f7cf"),
    root(b"39b8709d186d94d7b681cac6ae08bdc683abd11dd4dbe15b1d0d50847ba92110"),
    root(b"f8fe4f76b866ad3eff7f42636a9c8ac50fc48a44b0f813f6737f71300f820309"),
    root(b"a17ce9addbf5336b9c9ae4666b5b7e7e0eef58e51b7ab2e064d3a635ef87c2e5"),
    root(b"3f1ae972556e0f7aa3644d29b1b753302285d85e9fb4a704643f8807d6e7bc16"),
    root(b"0acdab4af3154394d1c50402c90897ccdbd94db3f8cd78aa619d8ea072d4b220"),
    root(b"c7486767dc74ae77ff7343d7a93244a373b34cc0bd3b3ca94437063859f51445"),
    root(b"db324cc856e5417d8d2d610633b00bb4b152a4aea6e76f6b0af882cdae38661e"),
    root(b"4b4012af97db1225a1ec70f8b72b6f892041c548f7aa4389fcf305fbf1672090"),
    root(b"6e81845131360292827fed7f6dd86d4b6f2030d3a8559ea333c52e867a3fd6a6"),
    root(b"998fe37fd7b9242f35ad17e041d016ef960cca8417329fe5c12c1dda0194826d"),
    root(b"200b15edba07672c586dce1063bd5585b31327de4bf222e98985248a42a9ba03"),
    root(b"acfad10101fef07e1aa655f81b245ece31ca0504a09768be06ab74edb9d203b2"),
    root(b"119faf36bb763363e7326aeb57f1bae011511995b142a1485d3f1b6348df5a6f"),
    root(b"b6f7a5dcac98efcfe5914eb0a429653eb3e911bff18f7d9cc4bbb7291e9dc69f"),
    root(b"88aff4c04ecfabda61cbcc0a482f5305f2d0f52ad4abc5c7ce47f9349dd26985"),
    root(b"6fac65d09f810b881589e12bb68cf7c33b8e4432a4848c5e20cf0df420b463b9"),
    root(b"697ac27681e6048c2ea88a1a9bd3b873b2d7ad502564d98a9421a8a4421ad7be"),
    root(b"09c99644e1c0b2ae857b595954ff8c86ae891b3e2ce4ea935024c9acc5b0fff5"),
];

/// A hash from its hex digits.
const fn root(hex: &[u8; 64]) -> Hash {
    let (mut bytes, mut at) = ([0; 32], 0);
    while at < bytes.len() {
        bytes[at] = digit(hex[2 * at]) << 4 | digit(hex[2 * at + 1]);
        at += 1;
    }
    Hash(bytes)
}

const fn digit(letter: u8) -> u8 {
    match letter {
        b'0'..=b'9' => letter - b'0',
        b'a'..=b'f' => letter - b'a' + 10,
        _ => panic!("a hex digit"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        log::{leaf_hash, node_hash},
        status::Chunk,
    };

    #[test]
    fn each_is_the_node_over_two_of_the_level_below() {
        assert_eq!(ZERO_ROOTS[0], leaf_hash(&Chunk::ZERO.0));
        for pair in ZERO_ROOTS.windows(2) {
            assert_eq!(pair[1], node_hash(&pair[0], &pair[0]));
        }
    }
}
